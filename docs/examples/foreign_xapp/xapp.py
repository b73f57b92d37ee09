"""An xApp without ranloop: JSON and any MQTT client close the loop. `python xapp.py HOST PORT [USER PASSWORD]`

It leaves when its host does, and then prints how many targets had which fate, as JSON.
"""

import collections
import json
import socket
import sys
import uuid

import paho.mqtt.client as mqtt

NAME, TOPICS = "foreign", "ranloop/1"
fates = collections.Counter()
host = {}


def on_connect(client, *_):
    client.subscribe([(f"{TOPICS}/report/+/qos_flow/100/json", 0), (f"{TOPICS}/result/{NAME}/+", 1)])
    client.subscribe(f"{TOPICS}/presence/host", 1)
    client.publish(f"{TOPICS}/presence/{NAME}", life_sign(alive=True), qos=1, retain=True)


def life_sign(*, alive):
    return json.dumps({"v": 1, "name": NAME, "alive": alive, "facts": {"kind": "xapp"}})


def on_message(client, _, message):
    kind, said = message.topic.split("/")[2], json.loads(message.payload)
    if kind == "report":
        act(client, said)
    elif kind == "result":
        fates.update(said["status"])
    elif said["alive"]:
        host.setdefault("run", said["facts"].get("run"))
    elif fates and said["facts"].get("run") == host.get("run"):  # and not somebody else's will
        client.publish(f"{TOPICS}/presence/{NAME}", life_sign(alive=False), qos=1, retain=True)
        client.disconnect()


def act(client, report):
    missed = zip(report["ids"]["ue"], report["values"]["X.DRB.BudgetMissRateDl"], strict=True)
    in_time = sorted({ue for ue, share in missed if share is not None and share <= 0.1})
    if not in_time:
        return
    batch = {
        "v": 1,
        "id": uuid.uuid4().hex,
        "xapp": NAME,
        "node": report["node"],
        "seq": report["seq"],
        "action": "SetUeWeight",
        "targets": {"ue": in_time},
        "parameters": {"weight": [8] * len(in_time)},
        "valid_until_ns": report["ran_time_ns"] + 200_000_000,
        "lease_ms": 300,
        "report_seq": report["seq"],
        "run": report.get("run", ""),
    }
    client.publish(f"{TOPICS}/act/{NAME}/{report['node']}", json.dumps(batch), qos=1)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{NAME}-{uuid.uuid4().hex}")
# Without this a small message waits up to 40 ms for the acknowledgement of the one before it.
client.on_socket_open = lambda _client, _, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client.on_connect, client.on_message = on_connect, on_message
client.will_set(f"{TOPICS}/presence/{NAME}", life_sign(alive=False), qos=1, retain=True)
if sys.argv[3:]:
    client.username_pw_set(*sys.argv[3:])
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
print(json.dumps(fates))
