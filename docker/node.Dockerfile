# The node host with the simulator, built in the folder of the checkout. Its kernels are compiled here, once, for any CPU of this kind.
# Nothing here needs BuildKit: docker, podman and buildah build it alike.
ARG BASE=python:3.11-slim
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
COPY requirements/run.txt /build/requirements/run.txt
RUN python3 -m venv /opt/pip \
 && /opt/pip/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --only-binary :all: --require-hashes \
    --target /opt/ranloop -r /build/requirements/run.txt
WORKDIR /build
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY sdk sdk
COPY ran_sim ran_sim
COPY xapps xapps
COPY models models
COPY docs/examples docs/examples
COPY docker/sdk.Dockerfile docker/sdk.Dockerfile
COPY requirements requirements
ENV PYTHONPATH=/opt/ranloop
RUN /opt/pip/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --no-deps --no-build-isolation --no-index \
    --target /opt/ranloop .
# Without the builder, tests and type stubs. Files get whole seconds as their time: layers keep no fractions, and numba compares.
WORKDIR /opt/ranloop
RUN rm -rf bin hatchling* editables* numpy/f2py numpy/distutils numpy/random/_examples onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
 && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find . \( -name '*.pyi' -o -name '*.h' -o -name '*.a' -o -name '*.pxd' \) -delete \
 && find . -exec touch -d 2026-01-01T00:00:00Z {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash .
ENV NUMBA_CPU_NAME=generic XDG_CACHE_HOME=/opt/kernels PYTHONDONTWRITEBYTECODE=1
RUN python3 -P -m ran_sim run one-cell --duration-s 3 && chmod -R a+rX /opt/kernels
RUN mkdir /var/lib/ranloop

FROM ${RUNTIME}
ARG VERSION
LABEL org.opencontainers.image.title="ranloop-node" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.description="ranloop's node host with guards, and the cell simulator ran_sim." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ranloop /opt/ranloop
COPY --from=build /opt/kernels /opt/kernels
COPY --from=build --chown=10001:10001 /var/lib/ranloop /var/lib/ranloop
ENV PYTHONPATH=/opt/ranloop PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1 \
    NUMBA_CPU_NAME=generic RAN_SIM_KERNELS=/opt/kernels/ranloop
USER 10001:10001
WORKDIR /opt/ranloop
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["python3", "-m", "ranloop_start", "alive", "host"]
ENTRYPOINT ["python3", "-m", "ranloop_start"]
CMD ["host", "sim:seven-sites"]
