# SPDX-License-Identifier: MIT
"""A cluster of one node: etcd, API server, scheduler and kubelet, with Docker below it."""
import json
import subprocess
from pathlib import Path

import pytest

import manual
from manual import LEAK

PROGRAMS = Path("/opt/kubernetes")
SETTINGS = Path("/etc/kubernetes")
NODE = "tm-machine"

if not PROGRAMS.exists() or not any(PROGRAMS.iterdir()):
    pytest.skip("made with MACHINE_KUBERNETES=no", allow_module_level=True)

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: admin}}]
contexts: [{name: here, context: {cluster: here, user: admin}}]
"""
GATES = "--feature-gates=EphemeralContainers=true"  # kubectl debug
SERVICES = {
    "etcd": "/usr/bin/etcd --data-dir=/var/lib/tm-etcd --unsafe-no-fsync",
    "kube-apiserver": "--etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range=10.96.0.0/24"
    " --cert-dir=/etc/kubernetes/pki"
    " --token-auth-file=/etc/kubernetes/tokens --authorization-mode=AlwaysAllow --allow-privileged=true"
    " --disable-admission-plugins=ServiceAccount --service-account-issuer=https://tm"
    " --service-account-signing-key-file=/etc/kubernetes/key --service-account-key-file=/etc/kubernetes/key",
    "kube-scheduler": "--kubeconfig=/etc/kubernetes/kubeconfig --leader-elect=false",
    "kubelet": "--kubeconfig=/etc/kubernetes/kubeconfig --pod-infra-container-image=pause:1 --cgroup-driver=systemd"
    " --fail-swap-on=false --hostname-override=" + NODE,
}


def kubectl(words):
    return manual.run("kubectl " + words)


def succeeds(words):
    def asked():
        return subprocess.run(["bash", "-c", "KUBECONFIG=/etc/kubernetes/kubeconfig kubectl " + words]).returncode == 0

    return asked


@pytest.fixture(scope="module")
def cluster(images):
    SETTINGS.mkdir(exist_ok=True)
    (SETTINGS / "kubeconfig").write_text(KUBECONFIG)
    (SETTINGS / "tokens").write_text("admin,admin,1,system:masters\n")
    manual.run("openssl genrsa -out /etc/kubernetes/key 2048; systemctl stop etcd")
    for name, words in SERVICES.items():
        command = words if words.startswith("/") else "%s/%s %s %s" % (PROGRAMS, name, words, GATES)
        manual.run("systemd-run --unit=tm-%s %s" % (name, command))
    manual.wait_for(succeeds("get namespace default"), 600)
    manual.wait_for(succeeds("wait --for=condition=Ready node/" + NODE), 600)
    # What else the controller manager would do, which is not here
    kubectl("taint nodes %s node.kubernetes.io/not-ready- || true" % NODE)
    yield
    kubectl("delete pod app --now")
    for name in reversed(SERVICES):
        subprocess.run(["systemctl", "stop", "tm-" + name])


def pod():
    said = json.loads(kubectl("get pod app -o json"))["status"].get("containerStatuses")
    return said[0] if said else {"restartCount": 0}


def has_been_killed():
    """The count is there before the reason is."""
    return pod()["restartCount"] >= 1 and pod().get("lastState", {}).get("terminated")


def lives_again():
    """There is a container to copy from, and the file of its life before this one."""
    return succeeds("exec app -- ls /evidence/app.1.tm.2")()


def test_manual(tmp_path, cluster):
    """GIVEN the page's manifest, THEN the kernel kills the container at its limit, and its file is in its next life."""
    said = manual.perform(
        "Kubernetes",
        tmp_path,
        **{
            "get pod": lambda: manual.wait_for(has_been_killed, 900),
            "kubectl cp": lambda: manual.wait_for(lives_again, 900),
            "kubectl debug": lambda: manual.wait_for(lives_again, 900),
        },
    )
    manual.all_answers_name(said, LEAK)
    (reason,) = [answer for command, answer in said if "get pod" in command]
    assert "OOMKilled" in reason, reason
