# SPDX-License-Identifier: MPL-2.0
"""Asks SkyPilot and the provider the same, and names the rule behind each difference.

A difference that no rule explains is an error. See run.sh.
"""

import collections
import json
import math
import subprocess
import sys
from typing import NamedTuple

from sky import exceptions
from sky.catalog import aws_catalog, gcp_catalog

PROVIDER, CATALOGS, STATE = sys.argv[1:4]
PEERS = {"aws": aws_catalog, "gcp": gcp_catalog}

# What differs on purpose, by name.
POLICIES = {
    "same": "one price",
    "any family": "without devices SkyPilot looks at one family of each cloud, and the provider at all that are not left out by default",
    "host": "SkyPilot has one host for each number of devices on GCP, and the provider the cheapest that fits, of at least "
    "4 vCPUs and 16 GiB for each device where neither is asked for",
    "limits": "SkyPilot's host is larger than Compute Engine allows for these devices, as it says itself before a launch",
    "nobody": "neither has a machine",
}


class Request(NamedTuple):
    """What both are asked; name and count are those of the devices, if any."""

    cloud: str
    cpus: str | None
    memory: str | None
    name: str | None
    count: int
    spot: bool


def frame(cloud):
    """SkyPilot's table of a catalog."""
    peer = PEERS[cloud]
    return peer._get_df() if hasattr(peer, "_get_df") else peer._df  # pylint: disable=protected-access


def ours(r):
    """The cheapest machine of the provider and its price, or None."""
    args = [PROVIDER, "catalog", "list", r.cloud, "--json", "--limit", "1", "--path", CATALOGS, "--state-dir", STATE]
    args += ["--market", "spot" if r.spot else "on_demand"]
    # Without devices SkyPilot asks for four GiB for each vCPU by itself.
    memory = r.memory if r.name or r.memory else "4x"
    accelerator = f"{r.name}:{r.count}" if r.name else None
    for flag, value in (("--cpus", r.cpus), ("--memory", memory), ("--accelerators", accelerator)):
        if value:
            args += [flag, value]
    found = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    return (found[0]["instance_type"], found[0]["hourly_cost"]) if found else None


def price(r, instance_type):
    """What a machine that SkyPilot picked costs in its cheapest place that has it all."""
    peer = PEERS[r.cloud]
    if r.cloud != "gcp" or not r.name or not instance_type.startswith("n1-"):
        usd = peer.get_hourly_cost(instance_type, r.spot, None, None)
        if r.cloud == "gcp" and r.name:
            usd += peer.get_accelerator_hourly_cost(r.name, r.count, r.spot, None, None)
        return usd
    best = None
    df = frame(r.cloud)
    hosts = df[df["InstanceType"] == instance_type]
    attached = df[(df["AcceleratorName"] == r.name) & (df["AcceleratorCount"] == r.count)]
    column = "SpotPrice" if r.spot else "Price"
    both = hosts.merge(attached, on=["Region", "AvailabilityZone"], suffixes=("_h", "_d"))
    sums = (both[column + "_h"] + both[column + "_d"]).dropna()
    if len(sums):
        best = float(sums.min())
    return best


def theirs(r):
    """The cheapest of what SkyPilot picks and its price, or None."""
    peer = PEERS[r.cloud]
    if not r.name:
        picked = peer.get_default_instance_type(cpus=r.cpus, memory=r.memory, disk_tier=None)
        types = [picked] if picked else []
    else:
        types = peer.get_instance_type_for_accelerator(r.name, r.count, cpus=r.cpus, memory=r.memory, use_spot=r.spot)[0] or []
    priced = []
    for t in types:
        try:
            usd = price(r, t)
        except (ValueError, IndexError):
            continue
        if usd is not None and not math.isnan(usd):
            priced.append((usd, t))
    return min(priced)[::-1] if priced else None


def attachable(r, instance_type):
    """Whether SkyPilot's own check lets a host have the devices."""
    try:
        gcp_catalog.check_accelerator_attachable_to_host(instance_type, {r.name: r.count}, None)
    except exceptions.ResourcesMismatchError:
        return False
    return True


def explain(r, a, b):
    """The name of the rule behind a difference of our answer a and SkyPilot's b, or None."""
    if a is None and b is None:
        rule = "nobody"
    elif a and b and math.isclose(a[1], b[1], abs_tol=1e-6):
        rule = "same"
    elif not r.name:
        rule = "any family" if a and (b is None or a[1] < b[1]) else None
    elif r.cloud == "gcp" and (a or b)[0].startswith("n1-"):
        rule = explain_host(r, a, b)
    else:
        rule = None
    return rule


def explain_host(r, a, b):
    """As explain, where host and devices are bought apart."""
    rule = None
    if b and not attachable(r, b[0]):
        rule = "limits"
    elif a and b and a[1] < b[1] and not r.memory:
        rule = "host"
    return rule


def devices(cloud):
    """The accelerators of a catalog with their numbers."""
    df = frame(cloud)
    pairs = df[["AcceleratorName", "AcceleratorCount"]].dropna().drop_duplicates()
    return [(n, int(c)) for n, c in pairs.itertuples(index=False) if c == int(c) and not n.startswith("tpu-") and "(" not in n]


def requests(cloud):
    for spot in (False, True):
        for cpus in (None, "2", "2+", "4", "4+", "8", "8+", "16", "16+", "32+", "48+", "64+", "96+"):
            for memory in (None, "4+", "16", "32+", "64", "128+", "256+", "4x", "8x"):
                if cpus or memory:
                    yield Request(cloud, cpus, memory, None, 0, spot)
        for name, count in devices(cloud):
            for cpus, memory in ((None, None), ("8+", None), ("32+", None), (None, "64+"), ("16+", "64+")):
                yield Request(cloud, cpus, memory, name, count, spot)


def main():
    found = collections.Counter()
    for cloud in PEERS:
        for r in requests(cloud):
            a, b = ours(r), theirs(r)
            rule = explain(r, a, b)
            found[rule] += 1
            if rule is None:
                print(f"{r}: ours {a}, SkyPilot's {b}")
    print(f"{sum(found.values())} requests")
    for rule, n in found.most_common():
        print(f"{n:6} {rule}: {POLICIES.get(rule, 'no rule explains it')}")
    sys.exit(1 if found[None] else 0)


if __name__ == "__main__":
    main()
