# alexnet_pl in a container; docs/how-to/containers.md has the commands.
#
#   docker build -t alexnet_pl .                                     NVIDIA GPUs: PyTorch's wheels bring CUDA's runtime
#   docker build -t alexnet_pl:cpu --build-arg TORCH_BACKEND=cpu .   CPUs, 4 GB smaller
FROM python:3.12-slim

# A compiler for torch.compile and Triton.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

ARG TORCH_BACKEND=
ARG EXTRAS=retrieval,dashboard,export
COPY . /opt/alexnet_pl
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --compile-bytecode ${TORCH_BACKEND:+--torch-backend=$TORCH_BACKEND} "/opt/alexnet_pl[$EXTRAS]"

# Results belong to a volume: runs/ and data/ are made in the working folder.
RUN useradd --create-home --uid 1000 alexnet && install --directory --owner alexnet /workspace
USER alexnet
WORKDIR /workspace
ENTRYPOINT ["python", "-m", "alexnet_pl"]
CMD ["--help"]
