#!/usr/bin/env bash
# Make what a broker and its clients need: a CA, a certificate for each, and access lists from the xApps' manifests.
# usage: docker/secrets.sh FOLDER XAPP_FOLDER…      RANLOOP: the ranloop command;  NAMES: more host names of the broker
# A second call keeps the CA and renews the rest, also for another list of xApps. Each client mounts its own subfolder alone.
set -euo pipefail
[ $# -ge 2 ] || { sed -n 2,4p "$0" >&2; exit 2; }
folder=$1; shift
ranloop=${RANLOOP:-.venv/bin/ranloop}
roles=(--role host --role operator --role observer --role observer=page --role operator+observer=page-operator)
clients=$($ranloop access "$@" "${roles[@]}" --json | sed -n 's/.*"user": "\(.*\)".*/\1/p')

umask 077; mkdir -p "$folder"  # nobody else passes this folder; what is mounted from it is readable for a container's user
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
[ -f "$folder/ca.key" ] || openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=ranloop CA" -keyout "$folder/ca.key" \
  -out "$folder/ca.crt" 2>/dev/null

certificate() {  # NAME USAGE DNS_NAME…
  local name=$1 usage=$2 names; shift 2; names=$(printf ',DNS:%s' "$@")
  mkdir -p "$folder/$name"; rm -f "$folder/$name"/*
  openssl req "${key[@]}" -subj "/CN=$name" -keyout "$folder/$name/tls.key" -out "$folder/$name.csr" 2>/dev/null
  openssl x509 -req -in "$folder/$name.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days 397 \
    -extfile <(printf 'extendedKeyUsage=%s\nsubjectAltName=%s' "$usage" "${names#,}") -out "$folder/$name/tls.crt" 2>/dev/null
  cp "$folder/ca.crt" "$folder/$name/ca.crt"; rm "$folder/$name.csr"
}

# shellcheck disable=SC2086  # names are split on purpose
certificate broker serverAuth,clientAuth localhost broker broker-1 broker-2 broker-3 ${NAMES:-}
for client in $clients; do certificate "$client" clientAuth "$client"; done
openssl rand -hex 16 >"$folder/page-operator/token"  # what a person types who orders from the page
$ranloop access "$@" "${roles[@]}" >"$folder/broker/acl"
$ranloop access "$@" "${roles[@]}" --broker nats --certificates >"$folder/broker/users.conf"
find "$folder" -mindepth 1 -type d -exec chmod 755 {} +
find "$folder" -mindepth 2 -type f -exec chmod 444 {} +
echo "certificates and access lists of broker, $(echo $clients | sed 's/ /, /g') are in $folder"
