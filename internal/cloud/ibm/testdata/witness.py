# SPDX-License-Identifier: MPL-2.0
"""IBM's own client as a witness: of what the driver sent, and of the fake's answers."""

import json
import os
import sys
from http import HTTPStatus

import ibm_vpc.vpc_v1 as v
from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import IAMAuthenticator

URL = os.environ["FAKE_URL"]
VERSION = "2026-10-06"
CREATE = "POST /{region}/v1/"

# The models of the bodies that the driver sends.
MODELS = {
    CREATE + "vpcs": None,
    CREATE + "security_groups": None,
    CREATE + "subnets": v.SubnetPrototypeSubnetByTotalCount,
    CREATE + "security_groups/{id}/rules": None,
    CREATE + "instances": v.InstancePrototypeInstanceByImageInstanceByImageInstanceByNetworkAttachment,
    CREATE + "floating_ips": v.FloatingIPPrototypeFloatingIPByTarget,
    "PATCH /{region}/v1/instances/{id}/volume_attachments/{attachment}": v.VolumeAttachmentPatch,
    "PATCH /{region}/v1/volumes/{id}": v.VolumePatch,
}
RULES = {
    "any": v.SecurityGroupRulePrototypeSecurityGroupRuleProtocolAnyPrototype,
    "tcp": v.SecurityGroupRulePrototypeSecurityGroupRuleProtocolTCPUDP,
}


def same(what, sent, model):
    """The model holds all that was sent: what it does not know would be lost."""
    # Abstract parts of a model are plain objects to it, and are kept as they are.
    read = model.from_dict(sent).to_dict()
    assert read == sent, f"{what}: sent {json.dumps(sent)}, which the model reads as {json.dumps(read)}"


def judge(path):
    """Holds each body that the driver sent against the client's model of it."""
    with open(path, encoding="utf-8") as f:
        sent = json.load(f)
    seen = set()
    for s in sent:
        name, body = s["name"], s["body"]
        seen.add(name)
        assert name in MODELS, f"{name} is not judged"
        if name.endswith("/rules"):
            same(name, body, RULES[body["protocol"]])
        elif name.endswith("/security_groups"):
            assert set(body) <= {"name", "vpc", "resource_group", "rules"}, body
            for rule in body["rules"]:
                same(name, rule, RULES[rule["protocol"]])
        elif name.endswith("/vpcs"):
            assert set(body) <= {"name", "resource_group"}, body
        else:
            same(name, body, MODELS[name])
    assert seen == set(MODELS), f"not sent were {set(MODELS) - seen}"
    print(f"{len(sent)} bodies that the driver sent are as the client's models have them")


def client(key):
    service = v.VpcV1(authenticator=IAMAuthenticator(key, url=URL), version=VERSION)
    service.set_service_url(URL + "/us-south/v1")
    return service


def read(model, answer):
    """The answer has all that the model requires, and nothing that it does not know."""
    out = model.from_dict(answer)
    back = out.to_dict()
    for key in answer:
        assert key in back, f"{model.__name__}: the answer has {key}, which the model does not know"
    return out


def lists(c):
    """Reads every list of things that the driver made."""
    for fetch, what, model in [
        (c.list_instances, "instances", v.Instance),
        (c.list_volumes, "volumes", v.Volume),
        (c.list_floating_ips, "floating_ips", v.FloatingIP),
        (c.list_security_groups, "security_groups", v.SecurityGroup),
        (c.list_vpcs, "vpcs", v.VPC),
        (c.list_subnets, "subnets", v.Subnet),
        (c.list_images, "images", v.Image),
    ]:
        answer = fetch().get_result()
        assert answer[what], f"there are no {what}"
        for item in answer[what]:
            read(model, item)
        print(f"{len(answer[what])} {what} read")
    for region in c.list_regions().get_result()["regions"]:
        read(v.Region, region)
    first = c.list_instances(limit=1).get_result()
    start = v.InstanceCollection.from_dict(first).next.href.split("start=")[1]
    second = c.list_instances(limit=1, start=start).get_result()
    assert second["instances"][0]["id"] != first["instances"][0]["id"]


def refused(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as e:
        assert e.status_code == status and e.message, (e.status_code, e.message)
        return
    raise AssertionError(f"{call.__name__} was not refused")


def removed(answer):
    assert answer.get_status_code() == HTTPStatus.NO_CONTENT


def live(c):
    """Leads the life of a machine by the client's own means."""
    vpc = read(v.VPC, c.create_vpc(name="witness").get_result())
    zone = v.ZoneIdentityByName(name="us-south-2")
    subnet = read(
        v.Subnet,
        c.create_subnet(
            v.SubnetPrototypeSubnetByTotalCount(vpc=v.VPCIdentityById(id=vpc.id), name="witness-2", total_ipv4_address_count=256, zone=zone)
        ).get_result(),
    )
    group = read(v.SecurityGroup, c.create_security_group(vpc=v.VPCIdentityById(id=vpc.id), name="witness").get_result())
    rule = c.create_security_group_rule(
        group.id,
        v.SecurityGroupRulePrototypeSecurityGroupRuleProtocolTCPUDP(
            direction="inbound",
            protocol="tcp",
            port_min=22,
            port_max=22,
            remote=v.SecurityGroupRuleRemotePrototypeSecurityGroupRuleCIDRPrototype(cidr_block="192.0.2.0/24"),
        ),
    ).get_result()
    read(v.SecurityGroupRuleSecurityGroupRuleProtocolTCPUDP, rule)
    machine = launch(c, vpc, subnet, group, zone)
    refused(409, launch, c, vpc, subnet, group, zone)
    address(c, machine)
    volume(c, machine)
    attachment = c.update_instance_volume_attachment(machine.id, machine.boot_volume_attachment.id, v.VolumeAttachmentPatch(name="witnessed")).get_result()
    assert read(v.VolumeAttachment, attachment).name == "witnessed"
    for what, status in [("stop", "stopped"), ("start", "running")]:
        read(v.InstanceAction, c.create_instance_action(machine.id, what).get_result())
        assert c.get_instance(machine.id).get_result()["status"] == status
    refused(409, c.create_instance_action, machine.id, "start")
    refused(409, c.delete_security_group, group.id)
    removed(c.delete_instance(machine.id))
    refused(404, c.get_instance, machine.id)
    left = [a for a in c.list_floating_ips().get_result()["floating_ips"] if a["name"] == "witness"]
    assert len(left) == 1 and "target" not in left[0], left
    removed(c.delete_floating_ip(left[0]["id"]))
    c.delete_security_group_rule(group.id, rule["id"])
    removed(c.delete_security_group(group.id))
    print("a machine was made, stopped, started and removed")


def launch(c, vpc, subnet, group, zone):
    image = next(i for i in c.list_images(visibility="public").get_result()["images"] if i["status"] == "available")
    nic = v.InstanceNetworkAttachmentPrototypeVirtualNetworkInterfaceVirtualNetworkInterfacePrototypeInstanceNetworkAttachmentContext(
        name="witness",
        auto_delete=True,
        subnet=v.SubnetIdentityById(id=subnet.id),
        security_groups=[v.SecurityGroupIdentityById(id=group.id)],
    )
    prototype = v.InstancePrototypeInstanceByImageInstanceByImageInstanceByNetworkAttachment(
        name="witness",
        image=v.ImageIdentityById(id=image["id"]),
        zone=zone,
        vpc=v.VPCIdentityById(id=vpc.id),
        profile=v.InstanceProfileIdentityByName(name="bx2-2x8"),
        user_data="#!/bin/sh\n",
        boot_volume_attachment=v.VolumeAttachmentPrototypeInstanceByImageContext(
            name="witness",
            delete_volume_on_instance_delete=True,
            volume=v.VolumePrototypeInstanceByImageContext(
                name="witness", profile=v.VolumeProfileIdentityByName(name="general-purpose"), user_tags=["witness:yes"]
            ),
        ),
        primary_network_attachment=v.InstanceNetworkAttachmentPrototype(virtual_network_interface=nic),
    )
    made = c.create_instance(prototype)
    assert made.get_status_code() == HTTPStatus.CREATED
    return read(v.Instance, made.get_result())


def address(c, machine):
    nic = machine.primary_network_attachment.virtual_network_interface.id
    made = c.create_floating_ip(
        v.FloatingIPPrototypeFloatingIPByTarget(
            name="witness", target=v.FloatingIPTargetPrototypeVirtualNetworkInterfaceIdentityVirtualNetworkInterfaceIdentityById(id=nic)
        )
    ).get_result()
    read(v.FloatingIP, made)
    held = c.list_network_interface_floating_ips(nic).get_result()
    assert [a["address"] for a in held["floating_ips"]] == [made["address"]]
    read(v.FloatingIPReference, c.add_network_interface_floating_ip(nic, made["id"]).get_result())


def volume(c, machine):
    found = c.list_volumes(tag="witness:yes").get_result()["volumes"]
    assert [f["id"] for f in found] == [machine.boot_volume_attachment.volume.id]
    seen = c.get_volume(found[0]["id"])
    patch = v.VolumePatch(user_tags=["witness:yes", "more:yes"])
    refused(400, c.update_volume, found[0]["id"], patch)
    changed = c.update_volume(found[0]["id"], patch, if_match=seen.get_headers()["ETag"]).get_result()
    assert sorted(read(v.Volume, changed).user_tags) == ["more:yes", "witness:yes"]
    refused(412, c.update_volume, found[0]["id"], patch, if_match=seen.get_headers()["ETag"])
    refused(409, c.delete_volume, found[0]["id"])


def main():
    judge(sys.argv[1])
    c = client(os.environ["FAKE_KEY"])
    lists(c)
    live(c)
    refused(400, client("not_a_key").list_vpcs)


main()
