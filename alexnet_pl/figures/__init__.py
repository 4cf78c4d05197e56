"""`figures`: the paper's figures and the curves of training, drawn from run folders."""
