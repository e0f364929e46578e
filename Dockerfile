# docker build -t corpuskit . && docker run -v "$PWD:/work" corpuskit run recipe.yaml
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_BUILD_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1
# the index of torch's CPU builds; without it the build for CUDA comes
ARG TORCH_INDEX
RUN python -m venv /opt/corpuskit \
    && /opt/corpuskit/bin/pip install torch==2.13.0 ${TORCH_INDEX:+--index-url $TORCH_INDEX} \
    && /opt/corpuskit/bin/pip install '.[train,mix]'

FROM python:3.11-slim
COPY --from=build /opt/corpuskit /opt/corpuskit
ENV PATH=/opt/corpuskit/bin:$PATH NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /work
ENTRYPOINT ["corpuskit"]
