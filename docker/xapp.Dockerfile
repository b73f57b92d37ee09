# An xApp's image: Python, the SDK, the xApp and its models. `ranloop package FOLDER` makes the context and fills in the arguments.
# Nothing here needs BuildKit: docker, podman and buildah build it alike.
ARG BASE=python:3.11-slim
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
COPY requirements.txt /build/
RUN python3 -m venv /opt/pip \
 && /opt/pip/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --only-binary :all: --require-hashes \
    --target /opt/ranloop -r /build/requirements.txt
COPY sdk /opt/ranloop
# Without what no xApp calls: tests, type stubs, headers, and the tools that come with NumPy and onnxruntime.
WORKDIR /opt/ranloop
RUN rm -rf bin numpy/f2py numpy/distutils numpy/random/_examples numpy/random/lib onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
 && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find . \( -name '*.pyi' -o -name '*.h' -o -name '*.a' -o -name '*.pxd' \) -delete \
 && python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM ${RUNTIME}
ARG NAME
ARG VERSION
ARG SUMMARY
ARG XAPP
LABEL org.opencontainers.image.title="${NAME}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.description="${SUMMARY}"
COPY --from=build /opt/ranloop /opt/ranloop
COPY app /app
ENV PYTHONPATH=/opt/ranloop PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 10001:10001
WORKDIR /app/${XAPP}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 CMD ["python3", "-m", "ranloop_start", "alive", "."]
ENTRYPOINT ["python3", "-m", "ranloop_start"]
CMD ["run", "."]
