# Images on the SDK alone: the live page's (--target page) and an xApp's (the last stage), which has its folder and its models, too.
# `ranloop package FOLDER` or `--page` makes the context and fills in the arguments.
# Nothing here needs BuildKit: docker, podman and buildah build it alike.
ARG BASE=python:3.11-slim
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
COPY requirements.txt /build/
RUN python3 -m venv /opt/pip \
 && /opt/pip/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --only-binary :all: --require-hashes \
    --target /opt/ranloop -r /build/requirements.txt
COPY sdk /opt/ranloop
# Without what nothing here calls: tests, type stubs, headers, and the tools that come with NumPy and onnxruntime.
WORKDIR /opt/ranloop
RUN rm -rf bin numpy/f2py numpy/distutils numpy/random/_examples numpy/random/lib onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
 && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find . \( -name '*.pyi' -o -name '*.h' -o -name '*.a' -o -name '*.pxd' \) -delete \
 && python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM ${RUNTIME} AS sdk
COPY --from=build /opt/ranloop /opt/ranloop
ENV PYTHONPATH=/opt/ranloop PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python3", "-m", "ranloop_start"]

FROM sdk AS page
ARG VERSION
LABEL org.opencontainers.image.title="ranloop-page" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.description="ranloop's live page about a bus: map, measurements, decisions, health." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV RANLOOP_METRICS=127.0.0.1:9464
WORKDIR /opt/ranloop
EXPOSE 8480
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9464/healthz', timeout=8)"]
CMD ["dashboard", "--at", "0.0.0.0:8480", "--served-as", "localhost"]

FROM sdk AS xapp
ARG NAME
ARG VERSION
ARG SUMMARY
ARG XAPP
LABEL org.opencontainers.image.title="${NAME}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.description="${SUMMARY}"
COPY app /app
WORKDIR /app/${XAPP}
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 CMD ["python3", "-m", "ranloop_start", "alive", "."]
CMD ["run", "."]
