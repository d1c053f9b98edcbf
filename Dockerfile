# The commands and all configs in an image, with or without CUDA: docs/install.md, "In a container".
FROM python:3.11-slim

# Any value of WITHOUT_CUDA leaves out CUDA; TORCH_CPU is then the index of PyTorch's CPU wheels.
ARG WITHOUT_CUDA
ARG TORCH_CPU
ENV PIP_NO_CACHE_DIR=1

RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/fastreid-projects
COPY Makefile requirements.txt ./
RUN make packages PYTHON=python3.11 ${WITHOUT_CUDA:+WITHOUT_CUDA=1} TORCH_CPU="$TORCH_CPU"

COPY LICENSE README.md pyproject.toml setup.py ./
COPY configs configs
COPY fastreid_projects fastreid_projects
COPY projects projects
COPY tools tools
RUN make install

ENV PATH=/opt/fastreid-projects/.venv/bin:$PATH FASTREID_DATASETS=/datasets
ENTRYPOINT ["fastreid-projects"]
