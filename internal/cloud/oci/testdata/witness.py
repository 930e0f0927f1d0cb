# SPDX-License-Identifier: MPL-2.0
"""Oracle's own client as a witness: of what the driver sent, and of the fake's answers."""

import base64
import json
import os
import re
import sys

import oci
from oci.core import models as m

URL = os.environ["FAKE_URL"]
COMPARTMENT = os.environ["FAKE_COMPARTMENT"]
REGION = "us-phoenix-1"
DOMAINS, COMPARTMENTS, NODES, OCPUS, GIB = 3, 3, 2, 2, 8

# The models of the bodies that the driver sends.
MODELS = {
    "POST /instances": "LaunchInstanceDetails",
    "PUT /instances/{id}": "UpdateInstanceDetails",
    "POST /computeCapacityReports": "CreateComputeCapacityReportDetails",
    "POST /vcns": "CreateVcnDetails",
    "POST /subnets": "CreateSubnetDetails",
    "POST /internetGateways": "CreateInternetGatewayDetails",
    "POST /securityLists": "CreateSecurityListDetails",
    "PUT /routeTables/{id}": "UpdateRouteTableDetails",
    "POST /networkSecurityGroups": "CreateNetworkSecurityGroupDetails",
    "POST /networkSecurityGroups/{id}/actions/addSecurityRules": "AddNetworkSecurityGroupSecurityRulesDetails",
    "POST /networkSecurityGroups/{id}/actions/removeSecurityRules": "RemoveNetworkSecurityGroupSecurityRulesDetails",
}


def same(where, sent, kind):
    """What was sent is of that kind, and holds nothing that the model does not know."""
    inner = re.match(r"(list\[|dict\(str, )(.*)[\])]$", kind)
    if inner:
        values = sent if kind.startswith("list") else sent.values()
        assert isinstance(sent, list if kind.startswith("list") else dict), f"{where} is {sent!r}, not {kind}"
        for value in values:
            same(where, value, inner.group(2))
        return
    plain = {"str": str, "bool": bool, "int": int, "float": (int, float), "object": object}
    if kind in plain:
        assert isinstance(sent, plain[kind]), f"{where} is {sent!r}, not {kind}"
        return
    model = getattr(m, kind)
    if hasattr(model, "get_subtype"):
        model = getattr(m, model.get_subtype(sent))
    one = model()
    names = {wire: field for field, wire in one.attribute_map.items()}
    for wire, value in sent.items():
        assert wire in names, f"{where}.{wire} is not known to {kind}"
        if value is not None:
            same(f"{where}.{wire}", value, one.swagger_types[names[wire]])


def judge(path):
    """Holds each body that the driver sent against the client's model of it."""
    with open(path, encoding="utf-8") as f:
        sent = json.load(f)
    for s in sent:
        assert s["name"] in MODELS, f"{s['name']} is not judged"
        same(s["name"], s["body"], MODELS[s["name"]])
    lacking = set(MODELS) - {s["name"] for s in sent}
    assert not lacking, f"the driver never sent {sorted(lacking)}"
    print(f"{len(sent)} bodies of the driver are as the client would send them")


class Account:
    """The clients of an account."""

    def __init__(self, config, **how):
        def make(client):
            return client(config, service_endpoint=f"{URL}/{REGION}", retry_strategy=oci.retry.NoneRetryStrategy(), **how)

        self.tenancy = config["tenancy"]
        self.compute = make(oci.core.ComputeClient)
        self.network = make(oci.core.VirtualNetworkClient)
        self.identity = make(oci.identity.IdentityClient)
        self.work = make(oci.work_requests.WorkRequestClient)


def every(call, *args, **more):
    """All items of a list, over pages that may be empty."""
    return oci.pagination.list_call_get_all_results(call, *args, **more).data


def read(a):
    """Reads what the fake has, which the driver made."""
    regions = a.identity.list_region_subscriptions(a.tenancy).data
    assert REGION in [r.region_name for r in regions if r.status == "READY"], regions
    assert len(a.identity.list_availability_domains(a.tenancy).data) == DOMAINS
    assert len(every(a.identity.list_compartments, a.tenancy, compartment_id_in_subtree=True)) == COMPARTMENTS
    machines = [i for i in every(a.compute.list_instances, COMPARTMENT) if i.lifecycle_state == "RUNNING"]
    assert len(machines) == NODES, machines
    for i in machines:
        assert i == a.compute.get_instance(i.id).data
        assert i.shape == "VM.Standard.E4.Flex" and i.shape_config.ocpus == OCPUS and i.shape_config.memory_in_gbs == GIB, i
        assert i.preemptible_instance_config.preemption_action.type == "TERMINATE", i
        assert i.source_details.image_id == i.image_id and base64.b64decode(i.metadata["user_data"]), i
        assert any(key.startswith("sky-") for key in i.freeform_tags), i
        (attached,) = every(a.compute.list_vnic_attachments, COMPARTMENT, instance_id=i.id)
        vnic = a.network.get_vnic(attached.vnic_id).data
        assert vnic.is_primary and vnic.private_ip and vnic.public_ip, vnic
        (group,) = vnic.nsg_ids
        rules = every(a.network.list_network_security_group_security_rules, group)
        assert {r.direction for r in rules} == {"INGRESS", "EGRESS"}, rules
        (request,) = every(a.work.list_work_requests, COMPARTMENT, resource_id=i.id)
        assert request.status == "SUCCEEDED" and request.operation_type == "LaunchInstance", request
        assert every(a.work.list_work_request_errors, request.id) == []
    print("the fake's answers about the driver's cluster are read")


def live(a):
    """Leads a life of its own, from network to removal."""
    compute, network = a.compute, a.network
    vcn = network.create_vcn(m.CreateVcnDetails(compartment_id=COMPARTMENT, cidr_blocks=["10.0.0.0/16"], display_name="w")).data
    lists = m.CreateSecurityListDetails(
        compartment_id=COMPARTMENT,
        vcn_id=vcn.id,
        ingress_security_rules=[],
        egress_security_rules=[m.EgressSecurityRule(destination="0.0.0.0/0", protocol="all")],
    )
    allowed = network.create_security_list(lists).data
    subnet = network.create_subnet(
        m.CreateSubnetDetails(compartment_id=COMPARTMENT, vcn_id=vcn.id, cidr_block="10.0.0.0/24", security_list_ids=[allowed.id])
    ).data
    group = network.create_network_security_group(m.CreateNetworkSecurityGroupDetails(compartment_id=COMPARTMENT, vcn_id=vcn.id)).data
    group = oci.wait_until(network, network.get_network_security_group(group.id), "lifecycle_state", "AVAILABLE", max_interval_seconds=1).data
    ports = m.TcpOptions(destination_port_range=m.PortRange(min=22, max=22))
    rule = m.AddSecurityRuleDetails(direction="INGRESS", protocol="6", source="0.0.0.0/0", source_type="CIDR_BLOCK", tcp_options=ports)
    added = network.add_network_security_group_security_rules(group.id, m.AddNetworkSecurityGroupSecurityRulesDetails(security_rules=[rule])).data
    image = compute.list_images(COMPARTMENT, operating_system="Canonical Ubuntu", operating_system_version="22.04", shape="VM.Standard.E4.Flex").data[0]
    details = m.LaunchInstanceDetails(
        availability_domain=a.identity.list_availability_domains(a.tenancy).data[0].name,
        compartment_id=COMPARTMENT,
        display_name="witness",
        shape="VM.Standard.E4.Flex",
        shape_config=m.LaunchInstanceShapeConfigDetails(ocpus=1, memory_in_gbs=8),
        source_details=m.InstanceSourceViaImageDetails(image_id=image.id, boot_volume_size_in_gbs=50, boot_volume_vpus_per_gb=10),
        create_vnic_details=m.CreateVnicDetails(subnet_id=subnet.id, nsg_ids=[group.id], assign_public_ip=True),
        freeform_tags={"by": "witness"},
    )
    machine = compute.launch_instance(details, opc_retry_token="witness").data
    assert compute.launch_instance(details, opc_retry_token="witness").data.id == machine.id

    def until(state):
        return oci.wait_until(compute, compute.get_instance(machine.id), "lifecycle_state", state, max_interval_seconds=1).data

    until("RUNNING")
    assert compute.update_instance(machine.id, m.UpdateInstanceDetails(display_name="renamed")).data.display_name == "renamed"
    compute.instance_action(machine.id, "STOP")
    until("STOPPED")
    compute.instance_action(machine.id, "START")
    until("RUNNING")
    refused(409, "IncorrectState", network.delete_network_security_group, group.id)
    compute.terminate_instance(machine.id, preserve_boot_volume=False)
    until("TERMINATED")
    refused(409, "InvalidatedRetryToken", compute.launch_instance, details, opc_retry_token="witness")
    removed = m.RemoveNetworkSecurityGroupSecurityRulesDetails(security_rule_ids=[r.id for r in added.security_rules])
    network.remove_network_security_group_security_rules(group.id, removed)
    network.delete_network_security_group(group.id)
    network.delete_subnet(subnet.id)
    network.delete_vcn(vcn.id)
    refused(404, "NotAuthorizedOrNotFound", network.get_vcn, vcn.id)
    print("the client led a life of its own")


def refused(status, code, call, *args, **more):
    """A call is refused with that status and code."""
    try:
        call(*args, **more)
    except oci.exceptions.ServiceError as e:
        assert (e.status, e.code) == (status, code), e
        return
    raise AssertionError(f"{call.__name__} was not refused")


def main():
    """Judges the driver, and then uses the fake with each kind of credentials."""
    judge(sys.argv[1])
    config = oci.config.from_file(os.environ["FAKE_CONFIG"], "DEFAULT")
    oci.config.validate_config(config)
    read(Account(config))
    live(Account(config))
    session = oci.config.from_file(os.environ["FAKE_CONFIG"], "SESSION")
    with open(session["security_token_file"], encoding="utf-8") as f:
        signer = oci.auth.signers.SecurityTokenSigner(f.read(), oci.signer.load_private_key_from_file(session["key_file"]))
    read(Account(session, signer=signer))
    stranger = dict(config, fingerprint="00:" * 15 + "00")
    refused(401, "NotAuthenticated", Account(stranger).compute.list_instances, COMPARTMENT)


main()
