"""Import of weights that other programs trained: Caffe, cuda-convnet, torchvision."""
