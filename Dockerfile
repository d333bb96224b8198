# The image of Token Proxy; docs/image.md says what is in it, how it is built and how it is checked.
#
#     docker build -t token-proxy .
#     docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/token-proxy:VERSION --push .
#
# For a release give PYTHON_IMAGE by digest (python@sha256:...), and VERSION, REVISION and CREATED.
# Build arguments end up in the provenance that is published with an image: no secret among them.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Certificates are the base's. Byte code is never compared with its source: so it holds whatever an
# export does to the times of files, and is the same each time.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON=/opt/token-proxy \
    UV_SYSTEM_CERTS=1
COPY requirements-build.lock requirements.lock ./
# Hashed, and binary only: nothing but what the locks name, and no compiler. `make lock` writes them.
RUN python -m pip install --quiet --root-user-action=ignore --no-compile \
      --require-hashes --only-binary :all: -r requirements-build.lock \
 && python -m venv --without-pip /opt/token-proxy \
 && uv pip install --quiet --require-hashes --no-build -r requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY proxy proxy
RUN uv build --quiet --python /usr/local/bin/python --wheel --no-build-isolation --out-dir /wheels . \
 && uv pip install --quiet --no-deps --no-index /wheels/*.whl

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/token-proxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The base has no byte code of the standard library, and has pip, which nobody needs here.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
 && rm -r /usr/local/lib/python3.*/ensurepip \
 && python -m compileall -q -f -j 0 --invalidation-mode unchecked-hash \
      -x '/(site-packages|test|idlelib|tkinter|turtledemo|lib2to3|pydoc_data)/' /usr/local/lib/python3.*
COPY --from=build /opt/token-proxy /opt/token-proxy
# A number, since Kubernetes cannot tell whether a name is root.
USER 65532:65532
WORKDIR /
EXPOSE 8080 9090
# Asks 127.0.0.1:9090, unless TOKEN_PROXY_ADMIN names another address. Kubernetes does not heed it.
# Each time costs 0.2 s of CPU; Docker asks every 5 s (its --start-interval) until it is healthy.
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 CMD ["token-proxy", "healthcheck"]
ENTRYPOINT ["token-proxy"]
CMD ["run", "-c", "/etc/token-proxy/token-proxy.yaml"]
ARG PYTHON_IMAGE
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="token-proxy" \
      org.opencontainers.image.description="Puts a live OAuth 2.0 access token on each request" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
