"""The Helm chart: linted, checked against Kubernetes' schemas, and run as far as `podman play kube` goes. No cluster is used."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.engine import ROOT, XAPPS, make_secrets, podman, require_containers
from tests.ranloop.metrics.scraped import get

pytestmark = pytest.mark.containers

CHART = ROOT / "docker/chart"
VERSIONS = ("1.25.0", "1.31.0", "1.34.0")
NETWORK = "ranloop-kube"
OPEN = {"page.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name": "ingress"}
WITH_PAGE = {"page.enabled": "true"}
# podman knows no Services: a pod is reached by its own name.
LOCAL = WITH_PAGE | {
    "page.image": "localhost/ranloop/page:0.1.0",
    "broker.image": "localhost/mosquitto:2.0",
    "node.image": "localhost/ranloop/node:0.1.0",
    **{f"xapps.{name}.image": f"localhost/ranloop/{name}:0.1.0" for name in XAPPS},
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("helm") or str(ROOT / "build/helm/helm")
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)


def rendered(**values: str) -> str:
    settings = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    done = helm("template", "ranloop", str(CHART), *settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True, scope="module")
def installed() -> None:
    require_containers()


def test_it_is_linted_strictly() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("bus", "metrics"), [("", "true"), ("mqtts://broker.example:8884", "false")])
def test_it_keeps_to_the_schemas_of_kubernetes(version: str, bus: str, metrics: str, tmp_path: Path) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered(bus=bus, **WITH_PAGE, **{"metrics.enabled": metrics, **OPEN}))
    command = ["kubernetes-validate", "--strict", "-k", version, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_is_off_and_reached_by_nobody_that_the_values_do_not_name() -> None:
    assert "ranloop-page" not in rendered()
    closed, opened = rendered(**WITH_PAGE), rendered(**WITH_PAGE, **OPEN)
    assert closed.count("name: ranloop-page\n") == 2  # Service and Deployment
    assert "--served-as=localhost" in closed
    assert "--operator-token" not in closed
    orders = rendered(**WITH_PAGE, **{"page.orders": "true"})
    assert "--operator-token=/run/secrets/ranloop/token" in orders
    assert "{name: RANLOOP_MQTT_USER, value: page-operator}" in orders
    assert opened.count("name: ranloop-page\n") == 3  # and a NetworkPolicy
    (policy,) = [
        text for text in opened.split("\n---\n") if "kind: NetworkPolicy\n" in text and "8480" in text
    ]
    assert "kubernetes.io/metadata.name: ingress" in policy


def test_each_xapp_is_a_deployment_of_its_own_that_replaces_itself() -> None:
    text = rendered()
    assert text.count("kind: Deployment") == 2 + len(XAPPS)  # and broker and node
    assert text.count("{type: Recreate}") == 2 + len(XAPPS)
    assert text.count("readOnlyRootFilesystem: true") == 2 + len(XAPPS)


def test_every_client_is_probed_and_scraped_at_the_port_of_its_metrics() -> None:
    text = rendered(**WITH_PAGE, **{"metrics.port": "9500"})
    n_clients = 2 + len(XAPPS)
    assert text.count('{name: RANLOOP_METRICS, value: "0.0.0.0:9500"}') == n_clients
    assert text.count('prometheus.io/port: "9500"') == n_clients
    assert text.count("httpGet: {path: /healthz, port: 9500}") == 2 * n_clients
    assert text.count("httpGet: {path: /readyz, port: 9500}") == n_clients
    without = rendered(**WITH_PAGE, **{"metrics.enabled": "false"})
    assert "RANLOOP_METRICS" not in without
    assert without.count("alive") == 3 * (n_clients - 1)
    of_page = "httpGet: {path: /, port: 8480, httpHeaders: [{name: Host, value: localhost}]}"
    assert without.count("httpGet") == without.count(of_page) == 2


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("node.nme=host",), "additional properties 'nme' not allowed"),
        (("bus=mqtt://broker:1883",), "does not match pattern '^(mqtts:"),
        (("xapps.kpm_monitor.admit=",), "admit"),
        (("metrics.port=80",), "metrics"),
        (("page.servedAs[0]=http://x",), "servedAs"),
        (("page.enabled=maybe",), "page"),
    ],
)
def test_wrong_values_are_refused(values: tuple[str, ...], wanted: str) -> None:
    done = helm("template", "ranloop", str(CHART), *(part for one in values for part in ("--set", one)))
    assert done.returncode != 0
    assert wanted in done.stderr


@pytest.fixture
def played(tmp_path: Path) -> Iterator[str]:
    """The rendered chart, whose pods run in podman, with the secrets that docker/secrets.sh makes."""
    secrets = tmp_path / "secrets"
    make_secrets(secrets, names="ranloop-broker-pod-0")
    clients = [folder for folder in secrets.iterdir() if folder.is_dir()]
    volumes = [f"ranloop-{folder.name.replace('_', '-')}" for folder in clients]
    file = tmp_path / "rendered.yaml"
    objects = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {}}
        for name in volumes
    ]
    chart = rendered(**LOCAL)
    text = "\n---\n".join([*map(json.dumps, objects), chart])
    file.write_text(text.replace("ranloop-broker:8883", "ranloop-broker-pod-0:8883"))

    def clean() -> None:
        podman("play", "kube", "--down", str(file))
        podman("volume", "rm", "-f", *volumes, "ranloop-broker-config")
        podman("secret", "rm", *volumes)
        podman("network", "rm", "-f", NETWORK)

    clean()
    try:
        podman("network", "create", NETWORK)
        for name, folder in zip(
            volumes, clients, strict=True
        ):  # podman 4.3 fills a secret's volume with base64
            podman("volume", "create", name)
            place = podman("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip()
            shutil.copytree(folder, place, dirs_exist_ok=True)
        done = podman("play", "kube", "--network", NETWORK, str(file))
        assert done.returncode == 0, done.stderr
        yield chart
    finally:
        clean()


def address(pod: str) -> str:
    infra = podman("pod", "inspect", "-f", "{{.InfraContainerID}}", pod).stdout.strip()
    form = f'{{{{(index .NetworkSettings.Networks "{NETWORK}").IPAddress}}}}'
    return podman("inspect", "-f", form, infra).stdout.strip()


def asked(played: str) -> dict[str, str]:
    """Each HTTP probe of the rendered chart, asked as a kubelet does, at the pod's address -> what is wrong; "" if nothing."""
    yaml = pytest.importorskip("yaml")
    found = {}
    for deployment in (one for one in yaml.safe_load_all(played) if one and one["kind"] == "Deployment"):
        pod = f"{deployment['metadata']['name']}-pod-0"
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "httpGet" in container.get(probe, {}):
                at = container[probe]["httpGet"]
                try:
                    status, text = get(f"http://{address(pod)}:{at['port']}{at['path']}")
                except OSError as error:
                    status, text = 0, str(error)
                found[f"{pod} {probe}"] = "" if status == 200 else text
    return found


def test_its_pods_close_the_loop_and_answer_their_probes(played: str) -> None:
    began_s = time.monotonic()
    while set((answers := asked(played)).values()) != {""}:
        assert time.monotonic() - began_s < 120, answers
        time.sleep(1)
    assert len(answers) == 3 * (2 + len(XAPPS))  # all clients; the broker has no page to ask
    page = urllib.request.Request(
        f"http://{address('ranloop-page-pod-0')}:8480/", headers={"Host": "localhost"}
    )
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert answer.status == 200
    time.sleep(5)
    xapp = "ranloop-qos-scheduler-pod-0-xapp"
    podman("stop", "-t", "15", xapp)
    assert "applied" in podman("logs", xapp).stdout  # in the summary of an xApp that drains and ends
    print(f"\nthe chart's pods closed the loop within {time.monotonic() - began_s:.1f} s")
