#!/usr/bin/env bash
# Build the images of xApps, the live page and the node host, and print their unpacked sizes. usage: docker/images.sh [XAPP_FOLDER…]
#   ENGINE       docker, podman or buildah; default: the first that is there
#   BASE         image with Python and its venv, for building (python:3.11-slim)
#   RUNTIME      image with Python alone, for running (BASE)
#   BUILD_FLAGS  more flags of the engine's build command, such as a mounted CA bundle
# With syft on the path, build/NAME.cdx.json lists what is in an image (CycloneDX).
set -euo pipefail
cd "$(dirname "$0")/.."
for engine in ${ENGINE:-docker podman buildah}; do "$engine" info >/dev/null 2>&1 && break; engine=; done
[ -n "$engine" ] || { echo "error: none of ${ENGINE:-docker, podman and buildah} runs here" >&2; exit 2; }
case $engine in docker) flags=() ;; *) flags=(--layers --format docker) ;; esac  # OCI's own format has no health check
flags+=(--build-arg "BASE=${BASE:-python:3.11-slim}" --build-arg "RUNTIME=${RUNTIME:-${BASE:-python:3.11-slim}}")
flags+=(--label "org.opencontainers.image.base.name=${RUNTIME:-${BASE:-python:3.11-slim}}")
commit=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null) && flags+=(--label "org.opencontainers.image.revision=$commit")
read -ra more <<<"${BUILD_FLAGS:-}"
ranloop=${RANLOOP:-.venv/bin/ranloop}

build() {  # CONTEXT [FLAG…] -t TAG
  local context=$1 tag=${*: -1}; shift
  "$engine" build "${flags[@]}" "${more[@]}" "$@" "$context" >build/images.log 2>&1 \
    || { tail -20 build/images.log >&2; echo "error: $tag cannot be built; the whole log is in build/images.log" >&2; exit 1; }
  case $engine in buildah) size=$(buildah images --json "$tag" | sed -n 's/.*"size": "\(.*\)".*/\1/p') ;;
    *) size=$(( $("$engine" image inspect -f '{{.Size}}' "$tag") / 1000000 ))" MB" ;; esac
  if command -v syft >/dev/null && [ "$engine" != buildah ]; then
    local name=${tag##*/}; name=${name%:*}
    rm -f build/image.tar; "$engine" save -o build/image.tar "$tag" >/dev/null 2>&1
    SYFT_CHECK_FOR_APP_UPDATE=false syft scan -q "docker-archive:build/image.tar" --source-name "${tag%:*}" --source-version "${tag##*:}" \
      -o "cyclonedx-json=build/$name.cdx.json"
    rm -f build/image.tar
  fi
  printf '%-36s %8s unpacked  %4d s\n' "$tag" "$size" $((SECONDS - began)); began=$SECONDS
}

mkdir -p build; began=$SECONDS
[ $# -gt 0 ] || set -- xapps/*/
for app in "$@" --page; do
  line=$($ranloop package "$app")  # docker build [--target page] -t TAG CONTEXT
  read -ra words <<<"$line"
  build "${words[-1]}" "${words[@]:2:${#words[@]}-3}"
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
build . -f docker/node.Dockerfile --build-arg "VERSION=$version" -t "ranloop/node:$version"
