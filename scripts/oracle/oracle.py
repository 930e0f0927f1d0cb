# SPDX-License-Identifier: MPL-2.0
"""Asks SkyPilot and the provider the same, and names the rule behind each difference.

A difference that no rule explains is an error. See run.sh.
"""

import collections
import json
import subprocess
import sys

from sky import exceptions
from sky.catalog import aws_catalog, gcp_catalog

PROVIDER, CATALOGS, STATE = sys.argv[1:4]
PEERS = {"aws": aws_catalog, "gcp": gcp_catalog}

# What differs on purpose, by name.
POLICIES = {
    "same": "one price",
    "any family": "without devices SkyPilot looks at one family of each cloud, and the provider at all that are not left out by default",
    "host": "SkyPilot has one host for each number of devices on GCP, and the provider the cheapest of at least 4 vCPUs and 16 GiB for each",
    "cpus alone": "with cpus alone SkyPilot wants no memory of a host, and the provider 16 GiB for each device",
    "memory alone": "with memory alone SkyPilot wants no vCPUs of a host, and the provider 4 for each device",
    "limits": "SkyPilot's host is larger than Compute Engine allows for these devices, as it says itself before a launch",
    "nobody": "neither has a machine",
}


def frame(cloud):
    """SkyPilot's table of a catalog."""
    peer = PEERS[cloud]
    return peer._get_df() if hasattr(peer, "_get_df") else peer._df  # pylint: disable=protected-access


def ours(cloud, cpus, memory, accelerator, spot):
    """The cheapest machine of the provider and its price, or None."""
    args = [PROVIDER, "catalog", "list", cloud, "--json", "--limit", "1", "--path", CATALOGS, "--state-dir", STATE]
    for flag, value in (("--cpus", cpus), ("--memory", memory), ("--accelerators", accelerator), ("--market", "spot" if spot else "on_demand")):
        if value:
            args += [flag, value]
    found = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    return (found[0]["instance_type"], found[0]["hourly_cost"]) if found else None


def price(cloud, instance_type, name, count, spot):
    """What a machine that SkyPilot picked costs in its cheapest place that has it all."""
    peer = PEERS[cloud]
    if cloud != "gcp" or not name or not instance_type.startswith("n1-"):
        usd = peer.get_hourly_cost(instance_type, spot, None, None)
        if cloud == "gcp" and name:
            usd += peer.get_accelerator_hourly_cost(name, count, spot, None, None)
        return usd
    best = None
    df = frame(cloud)
    hosts = df[df["InstanceType"] == instance_type]
    attached = df[(df["AcceleratorName"] == name) & (df["AcceleratorCount"] == count)]
    column = "SpotPrice" if spot else "Price"
    both = hosts.merge(attached, on=["Region", "AvailabilityZone"], suffixes=("_h", "_d"))
    sums = (both[column + "_h"] + both[column + "_d"]).dropna()
    if len(sums):
        best = float(sums.min())
    return best


def theirs(cloud, cpus, memory, name, count, spot):
    """The cheapest of what SkyPilot picks and its price, or None."""
    peer = PEERS[cloud]
    if not name:
        picked = peer.get_default_instance_type(cpus=cpus, memory=memory, disk_tier=None)
        types = [picked] if picked else []
    else:
        types = peer.get_instance_type_for_accelerator(name, count, cpus=cpus, memory=memory, use_spot=spot)[0] or []
    priced = []
    for t in types:
        try:
            usd = price(cloud, t, name, count, spot)
        except (ValueError, IndexError):
            continue
        if usd is not None and usd == usd:  # a price that is missing is NaN
            priced.append((usd, t))
    return min(priced)[::-1] if priced else None


def attachable(instance_type, name, count):
    """Whether SkyPilot's own check lets a host have the devices."""
    try:
        gcp_catalog.check_accelerator_attachable_to_host(instance_type, {name: count}, None)
    except exceptions.ResourcesMismatchError:
        return False
    return True


def explain(cloud, a, b, cpus, memory, name, count):
    """The name of the rule behind a difference, or None."""
    if a is None and b is None:
        return "nobody"
    if a and b and abs(a[1] - b[1]) < 1e-6:
        return "same"
    if not name:
        if a and (b is None or a[1] < b[1]):
            return "any family"
        return None
    if cloud == "gcp" and (a or b)[0].startswith("n1-"):
        if b and not attachable(b[0], name, count):
            return "limits"
        if a and b and a[1] < b[1] and not memory:
            return "host"
        if cpus and not memory:
            return "cpus alone"
        if memory and not cpus:
            return "memory alone"
    return None


def devices(cloud):
    """The accelerators of a catalog with their numbers."""
    df = frame(cloud)
    pairs = df[["AcceleratorName", "AcceleratorCount"]].dropna().drop_duplicates()
    return [(n, int(c)) for n, c in pairs.itertuples(index=False) if c == int(c) and not n.startswith("tpu-") and "(" not in n]


def requests(cloud):
    for cpus in (None, "2", "2+", "4", "4+", "8", "8+", "16", "16+", "32+", "48+", "64+", "96+"):
        for memory in (None, "4+", "16", "32+", "64", "128+", "256+", "4x", "8x"):
            if cpus or memory:
                yield cpus, memory, None, 0
    for name, count in devices(cloud):
        for cpus, memory in ((None, None), ("8+", None), ("32+", None), (None, "64+"), ("16+", "64+")):
            yield cpus, memory, name, count


def main():
    found, wrong = collections.Counter(), 0
    for cloud in PEERS:
        for cpus, memory, name, count in requests(cloud):
            for spot in (False, True):
                if not name and not memory:  # what SkyPilot adds by itself
                    memory_asked = "4x"
                else:
                    memory_asked = memory
                a = ours(cloud, cpus, memory_asked, f"{name}:{count}" if name else None, spot)
                b = theirs(cloud, cpus, memory, name, count, spot)
                rule = explain(cloud, a, b, cpus, memory, name, count)
                found[rule] += 1
                if rule is None:
                    wrong += 1
                    print(f"{cloud} cpus={cpus} memory={memory} {name}:{count} spot={spot}: ours {a}, SkyPilot's {b}")
    print(f"{sum(found.values())} requests")
    for rule, n in found.most_common():
        print(f"{n:6} {rule}: {POLICIES.get(rule, 'no rule explains it')}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
