"""The graph that the whole program registers for the committed stacks."""

import base64
import io
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from components.edge_node.domain_xml import stylesheet
from config.derive import identity_key
from edge.recorder.recording import Registered
from lab.paths import CHECKOUT
from tests.recording import FACTS, Recording, committed, deploy, texts
from tests.sites import SEED, STACKS, edited, entries, section

DOMAIN = "libvirt:index/domain:Domain"
VOLUME = "libvirt:index/volume:Volume"
POOL = "libvirt:index/pool:Pool"
FIRST_BOOT = "libvirt:index/cloudInitDisk:CloudInitDisk"
COMMAND = "command:remote:Command"
CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
EDGE_NODE, MESH, BACKUP, IOT_STACK, SUMMARY_STORE = (
    f"fjord-edge:index:{type_}" for type_ in ("EdgeNode", "WireGuardMesh", "Backup", "IoTStack", "SummaryStore")
)

#: What runs in containers, by stack.
SERVICES = {"hq": SUMMARY_STORE, "oslo": IOT_STACK}

ON_THE_HYPERVISOR = {POOL, VOLUME, FIRST_BOOT, DOMAIN}
IN_THE_GUEST = {COMMAND, CONTAINER, IMAGE, NETWORK}

#: Commands of a node's hypervisor, and those of the node itself that come before all others on it.
ON_ITS_HOST = ("preflight", "image-checksum", "before-start", "after-start")
FIRST = ("ready", "host-config", "facts")

each_stack = pytest.mark.parametrize("stack", STACKS)


def children(recording: Recording) -> list[Registered]:
    return [resource for resource in recording.registered if resource.type in ON_THE_HYPERVISOR | IN_THE_GUEST]


def in_the_guest(recording: Recording) -> list[Registered]:
    return [
        child
        for child in children(recording)
        if child.type in IN_THE_GUEST and child.name.partition("-")[2] not in ON_ITS_HOST
    ]


def graph(recording: Recording) -> list[dict[str, Any]]:
    """Everything but the inputs' values, some of which a preview does not know."""
    return [vars(resource) | {"inputs": sorted(resource.inputs)} for resource in recording.registered]


# The tree


@each_stack
def test_every_resource_is_a_component_a_provider_or_a_components_child(stack: str) -> None:
    recording = committed(stack)
    root = f"pulumi:pulumi:Stack::fjord-edge-{stack}"
    at_the_top = [resource for resource in recording.registered if resource.parent == root]
    components = {EDGE_NODE, MESH, BACKUP, SERVICES[stack]}
    providers = {"pulumi:providers:libvirt", "pulumi:providers:docker"}
    assert {resource.type for resource in at_the_top} == components | providers
    assert all(resource.custom == (resource.type in providers) for resource in at_the_top)
    assert {resource.reference for resource in recording.registered} == {
        resource.reference for resource in [*at_the_top, *children(recording)]
    }


@each_stack
def test_each_child_belongs_to_the_component_that_makes_it(stack: str) -> None:
    for child in children(committed(stack)):
        if child.type in ON_THE_HYPERVISOR or child.name.partition("-")[2] in (*ON_ITS_HOST, *FIRST):
            component = EDGE_NODE
        else:
            component = {f"{stack}-tunnel": MESH, f"{stack}-backup": BACKUP}.get(child.name, SERVICES[stack])
        assert child.parent == f"{component}::{stack}"


@each_stack
def test_each_child_is_named_from_its_component(stack: str) -> None:
    for child in children(committed(stack)):
        assert child.name == stack or child.name.startswith(f"{stack}-")


@each_stack
def test_each_component_registers_its_outputs(stack: str) -> None:
    recording = committed(stack)
    components = {resource.reference for resource in recording.registered if resource.type.startswith("fjord-edge:")}
    assert components < set(recording.outputs)


@each_stack
def test_libvirt_and_docker_children_use_the_explicit_providers(stack: str) -> None:
    for child in children(committed(stack)):
        plugin, provider = child.type.split(":")[0], child.provider
        expected = {
            "libvirt": f"pulumi:providers:libvirt::{stack}-hypervisor",
            "docker": f"pulumi:providers:docker::{stack}-docker",
            "command": "",
        }
        assert provider == expected[plugin]


@each_stack
def test_a_preview_registers_the_same_graph_as_an_update(stack: str) -> None:
    assert graph(committed(stack, preview=True)) == graph(committed(stack))


def test_headquarters_has_the_store_of_summaries_and_what_watches_and_shows_it() -> None:
    found = committed("hq").of_type(CONTAINER)
    assert set(found) == {"hq-influxdb", "hq-watch", "hq-page"}
    [port] = found["hq-influxdb"].inputs["ports"]
    assert (port["ip"], port["external"]) == ("10.100.0.1", 8086)
    [port] = found["hq-page"].inputs["ports"]
    assert (port["ip"], port["external"]) == ("10.20.0.11", 443)
    assert not found["hq-watch"].inputs.get("ports")


def test_the_watch_starts_once_its_user_is_there() -> None:
    assert f"{COMMAND}::hq-influxdb-users" in committed("hq").named("hq-watch").dependencies


def test_the_store_waits_for_the_tunnels_address() -> None:
    assert f"{COMMAND}::hq-tunnel" in committed("hq").named("hq-influxdb").dependencies


def test_headquarters_without_a_store_has_no_docker() -> None:
    site = section("hq")
    del site["summaries"]
    recording = deploy("hq", site)
    assert not [resource for resource in recording.registered if "docker" in resource.type]
    assert not recording.of_type(SUMMARY_STORE)


def test_a_site_has_seven_containers() -> None:
    names = {"mosquitto", "telegraf", "influxdb", "telegraf-mesh", "alarms", "uplink", "page"}
    assert set(committed("oslo").of_type(CONTAINER)) == {f"oslo-{name}" for name in names}


@pytest.mark.parametrize(("stack", "section_of_it"), [("oslo", "iot"), ("hq", "summaries")])
def test_without_its_section_there_is_no_page_and_no_pin(stack: str, section_of_it: str) -> None:
    site = section(stack)
    del site[section_of_it]["page"]
    recording = deploy(stack, site)
    assert f"{stack}-page" not in recording.of_type(CONTAINER)
    assert "pagePin" not in recording.stack_outputs
    assert "page" not in recording.stack_outputs["endpoints"]


@each_stack
def test_nothing_was_renamed_so_nothing_has_an_alias(stack: str) -> None:
    assert not [resource for resource in committed(stack).registered if resource.aliases]


# What lasts, and what goes with the VM


@each_stack
def test_the_data_disk_and_its_pool_are_protected_and_nothing_else_is(stack: str) -> None:
    protected = {resource.reference for resource in committed(stack).registered if resource.protect}
    assert protected == {f"{VOLUME}::{stack}-data", f"{POOL}::{stack}-pool"}


@each_stack
def test_what_lives_in_the_guest_comes_with_the_domain_and_goes_with_its_first_command(stack: str) -> None:
    domain, booted = f"{DOMAIN}::{stack}", f"{COMMAND}::{stack}-ready"
    recording = committed(stack)
    for child in children(recording):
        if child.reference == booted:
            assert (child.deleted_with, child.replace_with) == (domain, (domain,))
        elif child in in_the_guest(recording):
            assert (child.deleted_with, child.replace_with) == (booted, (domain,)), child.reference
        else:
            replaced = (domain,) if child.name == f"{stack}-after-start" else ()
            assert (child.deleted_with, child.replace_with) == ("", replaced), child.reference


@each_stack
def test_what_happens_in_the_guest_waits_for_the_facts(stack: str) -> None:
    recording = committed(stack)
    facts, data = f"{COMMAND}::{stack}-facts", f"{COMMAND}::{stack}-backup"
    assert f"{COMMAND}::{stack}-host-config" in recording.named(f"{stack}-facts").dependencies
    assert recording.named(f"{stack}-ready").dependencies == {f"{DOMAIN}::{stack}"}
    for child in in_the_guest(recording):
        if child.name.partition("-")[2] not in FIRST:
            of_services = child.parent == f"{SERVICES[stack]}::{stack}"
            assert (data if of_services else facts) in child.dependencies, child.reference


def test_a_site_without_a_backup_takes_one_that_it_had_out_of_force() -> None:
    site = section("oslo")
    del site["backup"]
    recording = deploy("oslo", site)
    asked = str(recording.named("oslo-backup").inputs["create"])
    assert "disable --now fjord-edge-backup.timer" in asked
    assert "enable fjord-edge-backup.timer" not in asked
    assert "backupKey" not in recording.stack_outputs


@each_stack
def test_nothing_is_made_on_a_hypervisor_that_was_not_looked_at(stack: str) -> None:
    recording = committed(stack)
    preflight = f"{COMMAND}::{stack}-preflight"
    assert recording.named(f"{stack}-preflight").dependencies == set()
    assert preflight in recording.named(f"{stack}-pool").dependencies
    for name in ("image", "data", "first-boot-1"):
        assert f"{POOL}::{stack}-pool" in recording.named(f"{stack}-{name}").dependencies


@each_stack
def test_a_root_disk_is_made_of_an_image_whose_checksum_was_seen(stack: str) -> None:
    recording = committed(stack)
    assert f"{COMMAND}::{stack}-image-checksum" in recording.named(f"{stack}-root").dependencies
    assert f"{VOLUME}::{stack}-image" in recording.named(f"{stack}-image-checksum").dependencies


@each_stack
def test_an_old_guest_is_shut_down_before_its_domain_goes(stack: str) -> None:
    recording = committed(stack)
    assert f"{COMMAND}::{stack}-before-start" in recording.named(stack).dependencies


@each_stack
def test_the_facts_wait_until_the_data_disk_has_grown(stack: str) -> None:
    recording = committed(stack)
    assert f"{COMMAND}::{stack}-ready" in recording.named(f"{stack}-after-start").dependencies
    assert f"{COMMAND}::{stack}-after-start" in recording.named(f"{stack}-facts").dependencies


def test_the_collector_starts_after_broker_and_database_users() -> None:
    dependencies = committed("oslo").named("oslo-telegraf").dependencies
    assert {f"{CONTAINER}::oslo-mosquitto", f"{COMMAND}::oslo-influxdb-users"} < dependencies


def test_each_container_starts_after_its_own_files() -> None:
    for name, container in committed("oslo").of_type(CONTAINER).items():
        assert {f"{COMMAND}::{name}-files", f"{IMAGE}::{name}-image"} < container.dependencies


def test_a_bigger_generation_makes_a_new_first_boot_and_root_disk_and_leaves_the_data_disk() -> None:
    before = committed("oslo")
    after = deploy("oslo", edited(section("oslo"), "node", "generation", value=2))
    assert set(before.of_type(FIRST_BOOT)) == {"oslo-first-boot-1"}
    assert set(after.of_type(FIRST_BOOT)) == {"oslo-first-boot-2"}
    assert after.named("oslo-first-boot-2").inputs["name"] == "oslo-first-boot-2.iso"
    assert before.named("oslo-root").inputs["name"] != after.named("oslo-root").inputs["name"]
    assert after.named("oslo-data") == before.named("oslo-data")
    assert after.named("oslo-image") == before.named("oslo-image")


def test_within_a_generation_the_first_boot_stays_as_it_was() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB other"
    after = deploy("oslo", edited(section("oslo"), "node", "authorizedKeys", value=[key]))
    [first_boot] = after.of_type(FIRST_BOOT).values()
    changed = {
        key for key, value in first_boot.inputs.items() if value != committed("oslo").named(first_boot.name).inputs[key]
    }
    assert changed == {"userData"}
    assert changed <= set(first_boot.ignore_changes)
    assert after.named("oslo") == committed("oslo").named("oslo")


def changed(site: Any) -> set[str]:
    """The resources whose inputs an edited section changes, those left out that the engine is told to ignore."""
    before, after = committed("oslo"), deploy("oslo", site)
    return {
        resource.name
        for resource in after.registered
        for key in resource.inputs.keys() - {top.split("[")[0] for top in resource.ignore_changes}
        if resource.inputs[key] != before.named(resource.name).inputs.get(key)
    }


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("memoryMib", 4096, {"oslo", "oslo-root"}),
        ("cpus", 4, {"oslo", "oslo-root"}),
        ("rootDiskGib", 10, {"oslo-root", "oslo-preflight"}),
        ("image", {"source": "other.qcow2", "sha256": 64 * "1"}, {"oslo-root", "oslo-image", "oslo-image-checksum"}),
    ],
)
def test_a_change_of_the_hardware_asks_the_old_guest_to_shut_down(key: str, value: Any, names: set[str]) -> None:
    found = changed(edited(section("oslo"), "node", key, value=value))
    assert found - {"oslo-preflight"} == (names | {"oslo-before-start", "oslo-after-start"}) - {"oslo-preflight"}


def test_a_bigger_data_disk_grows_in_place() -> None:
    found = changed(edited(section("oslo"), "node", "dataDiskGib", value=20))
    assert found == {"oslo-preflight", "oslo-after-start", "oslo-facts"}
    assert committed("oslo").named("oslo-data").ignore_changes == ("size",)


OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB other"


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("authorizedKeys", [OTHER_KEY], {"oslo-host-config"}),
        ("timeServers", ["10.20.0.1"], {"oslo-host-config"}),
        ("sysctls", {"vm.swappiness": "10"}, {"oslo-host-config", "oslo-facts"}),
    ],
)
def test_what_changes_in_a_nodes_life_is_applied_in_place(key: str, value: Any, names: set[str]) -> None:
    assert changed(edited(section("oslo"), "node", key, value=value)) == names


@each_stack
def test_what_the_provider_would_silently_ignore_replaces_the_domain(stack: str) -> None:
    domain = committed(stack).named(stack)
    assert domain.replace_on_changes == ("cloudinit", "networkInterfaces", "qemuAgent")
    assert domain.delete_before_replace


@pytest.mark.parametrize("stack", ["hq", "oslo"])
def test_what_the_provider_would_silently_ignore_replaces_a_container(stack: str) -> None:
    containers = [each for each in committed(stack).registered if each.type == "docker:index/container:Container"]
    assert containers
    assert {each.replace_on_changes for each in containers} == {("healthcheck", "tmpfs")}


# The VM


@each_stack
def test_a_vm_has_the_resources_that_its_section_says(stack: str) -> None:
    node = section(stack)["node"]
    domain = committed(stack).named(stack).inputs
    assert (domain["vcpu"], domain["memory"]) == (node["cpus"], node["memoryMib"])
    assert committed(stack).named(f"{stack}-root").inputs["size"] == node["rootDiskGib"] * 1024**3
    assert committed(stack).named(f"{stack}-data").inputs["size"] == node["dataDiskGib"] * 1024**3


@each_stack
def test_the_root_disk_is_the_first_and_the_data_disk_the_second(stack: str) -> None:
    disks = committed(stack).named(stack).inputs["disks"]
    assert disks == [{"volumeId": f"{stack}-root-id"}, {"volumeId": f"{stack}-data-id"}]
    assert committed(stack).named(f"{stack}-root").inputs["baseVolumeId"] == f"{stack}-image-id"
    assert "baseVolumeId" not in committed(stack).named(f"{stack}-data").inputs


@each_stack
def test_a_vm_waits_for_no_lease_and_starts_with_its_hypervisor(stack: str) -> None:
    domain = committed(stack).named(stack).inputs
    for interface in domain["networkInterfaces"]:
        assert set(interface) in ({"bridge", "mac"}, {"networkName", "mac"})
    assert (domain["autostart"], domain["running"]) == (True, True)
    assert domain["xml"] == {"xslt": stylesheet()}


def test_a_vm_joins_its_networks_in_the_order_of_its_interfaces() -> None:
    assert committed("oslo").named("oslo").inputs["networkInterfaces"] == [
        {"bridge": "br0", "mac": "52:54:00:53:F2:FE"},
        {"bridge": "br-lan", "mac": "52:54:00:53:F2:FF"},
        {"networkName": "lte", "mac": "52:54:00:53:F3:00"},
    ]
    [only] = committed("hq").named("hq").inputs["networkInterfaces"]
    assert only["bridge"] == "br0"


def test_a_vm_joins_a_network_of_libvirts_by_its_name() -> None:
    site = section("oslo")
    site["node"]["network"]["lan"] = {"libvirtNetwork": "farm", "address": "10.20.1.12/24"}
    [_, lan, _] = deploy("oslo", site).named("oslo").inputs["networkInterfaces"]
    assert lan == {"networkName": "farm", "mac": "52:54:00:53:F2:FF"}


def test_kvm_has_the_hosts_cpu_and_emulation_its_own() -> None:
    kvm = committed("oslo").named("oslo").inputs
    emulated = (
        deploy("oslo", edited(section("oslo"), "node", "hypervisor", "accelerator", value="qemu")).named("oslo").inputs
    )
    assert (kvm["type"], kvm["cpu"]) == ("kvm", {"mode": "host-passthrough"})
    assert emulated["type"] == "qemu"
    assert "cpu" not in emulated


# Connections


@each_stack
def test_every_host_key_is_pinned(stack: str) -> None:
    recording = committed(stack)
    hypervisor = recording.named(f"{stack}-hypervisor").inputs["uri"]
    assert hypervisor == "qemu+ssh://root@10.20.0.1/system?knownhosts=tests/known_hosts"
    for command in recording.of_type(COMMAND).values():
        connection = command.inputs["connection"].value
        assert connection["hostKey"].startswith("ecdsa-sha2-nistp256 ")
        on_its_host = command.name.partition("-")[2] in ON_ITS_HOST
        guest = ("edge", section(stack)["node"]["network"]["address"][:-3])
        assert (connection["user"], connection["host"]) == (("root", "10.20.0.1") if on_its_host else guest)


def test_the_pinned_key_of_the_hypervisor_is_the_one_in_known_hosts() -> None:
    [line] = (CHECKOUT / "tests/known_hosts").read_text().splitlines()
    connection = committed("oslo").named("oslo-preflight").inputs["connection"].value
    assert line == f"10.20.0.1 {connection['hostKey']}"


def test_a_key_file_is_the_clients_key_and_is_not_shown(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("the private key")
    recording = deploy("oslo", edited(section("oslo"), "node", "hypervisor", "keyFile", value=str(key_file)))
    assert recording.named("oslo-hypervisor").inputs["uri"].endswith(f"&sshauth=privkey&keyfile={key_file}")
    assert recording.named("oslo-preflight").inputs["connection"].value["privateKey"] == "the private key"
    assert "the private key" not in texts([resource.inputs for resource in recording.registered])


def test_docker_is_reached_by_ssh_and_checks_the_host_key() -> None:
    recording = committed("oslo")
    docker = recording.named("oslo-docker").inputs
    host_key = recording.named("oslo-ready").inputs["connection"].value["hostKey"]
    assert docker["host"] == "ssh://edge@10.20.0.12"
    assert '"StrictHostKeyChecking=yes"' in docker["sshOpts"]
    assert f'"KnownHostsCommand=/bin/echo 10.20.0.12 {host_key}"' in docker["sshOpts"]


@each_stack
def test_a_command_shows_nothing_and_repeats_itself_for_no_output(stack: str) -> None:
    for command in committed(stack).of_type(COMMAND).values():
        assert command.inputs["addPreviousOutputInEnv"] is False
        assert not {"environment", "triggers", "delete"} & set(command.inputs)
        on_its_host = command.name.partition("-")[2] in ON_ITS_HOST
        assert command.inputs.get("logging") == ("stderr" if on_its_host else "none") or "stdin" not in command.inputs


# Containers


def containers(stack: str = "oslo") -> list[Registered]:
    return list(committed(stack).of_type(CONTAINER).values())


each_container = pytest.mark.parametrize(
    "container",
    [container for stack in STACKS for container in containers(stack)],
    ids=lambda container: container.name,
)


#: To ask WireGuard for its figures takes the node's network, a capability, and so root.
ASKS_WIREGUARD = "oslo-telegraf-mesh"


@each_container
def test_a_container_has_no_more_rights_than_it_needs(container: Registered) -> None:
    user, group = container.inputs["user"].split(":")
    asks_wireguard = container.name == ASKS_WIREGUARD
    assert (int(user) == int(group) == 0) is asks_wireguard
    assert container.inputs["readOnly"] is True
    assert container.inputs["capabilities"] == {"drops": ["ALL"]} | (
        {"adds": ["CAP_NET_ADMIN"]} if asks_wireguard else {}
    )
    assert container.inputs["securityOpts"] == ["no-new-privileges:true"]
    assert not {"privileged", "devices", "pidMode", "ipcMode", "userns_mode", "uploads"} & set(container.inputs)
    assert container.inputs["networkMode"] == ("host" if asks_wireguard else "bridge")
    assert ("networksAdvanced" in container.inputs) is not asks_wireguard


@each_container
def test_a_container_is_bounded_and_comes_back(container: Registered) -> None:
    assert container.inputs["memory"] == container.inputs["memorySwap"] > 0
    assert container.inputs["restart"] == "always"
    assert container.inputs["logOpts"] == {"max-size": "10m", "max-file": "3"}
    assert container.inputs["healthcheck"]["tests"][0] == "CMD"
    assert (container.inputs["mustRun"], container.inputs["wait"]) == (True, True)


def test_the_containers_leave_the_node_memory_of_its_own() -> None:
    total = sum(container.inputs["memory"] for container in containers())
    assert total <= section("oslo")["node"]["memoryMib"] / 2


def test_only_broker_and_page_are_reached_from_outside() -> None:
    ports = {
        (container.name, port["ip"], port["external"], port["internal"], port["protocol"])
        for container in containers()
        for port in container.inputs.get("ports", [])
    }
    assert ports == {
        ("oslo-mosquitto", "10.20.0.12", 8883, 8883, "tcp"),
        ("oslo-mosquitto", "10.20.1.12", 8883, 8884, "tcp"),
        ("oslo-influxdb", "127.0.0.1", 8086, 8086, "tcp"),
        ("oslo-page", "10.20.0.12", 443, 8443, "tcp"),
        ("oslo-page", "10.20.1.12", 443, 8444, "tcp"),
    }


def test_no_internal_port_leads_to_two_addresses() -> None:
    for container in containers():
        internal = [port["internal"] for port in container.inputs.get("ports", [])]
        assert internal == sorted(set(internal))


def test_a_site_without_a_lan_has_its_broker_at_the_nodes_own_address_alone() -> None:
    site = section("oslo")
    del site["node"]["network"]["lan"]
    recording = deploy("oslo", site)
    [port] = recording.named("oslo-mosquitto").inputs["ports"]
    assert (port["ip"], port["external"], port["internal"]) == ("10.20.0.12", 8883, 8883)
    assert recording.stack_outputs["endpoints"]["mqtt"] == "mqtts://10.20.0.12:8883"
    assert broker_addresses(recording) == ["10.20.0.12"]


def test_the_brokers_certificate_is_for_each_address_at_which_it_listens() -> None:
    assert broker_addresses(committed("oslo")) == ["10.20.0.12", "10.20.1.12"]


def test_the_broker_listens_where_its_published_ports_lead() -> None:
    lines = brokers_file(committed("oslo"), "mosquitto.conf").decode().splitlines()
    beside, *listening = [int(line.split()[1]) for line in lines if line.startswith("listener ")]
    assert beside == 1883
    assert listening == [port["internal"] for port in committed("oslo").named("oslo-mosquitto").inputs["ports"]]


def brokers_file(recording: Recording, name: str) -> bytes:
    archive = base64.b64decode(recording.named("oslo-mosquitto-files").inputs["stdin"].value)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(f"etc/fjord-edge/mosquitto/{name}")
        assert file
        return file.read()


def broker_addresses(recording: Recording) -> list[str]:
    """The addresses in the broker's certificate."""
    certificate = x509.load_pem_x509_certificate(brokers_file(recording, "server.crt"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def test_configuration_is_mounted_read_only_and_data_lies_on_the_data_disk() -> None:
    for container in containers():
        configuration, *data = container.inputs["volumes"]
        service = container.inputs["name"]
        assert configuration["hostPath"] == f"/etc/fjord-edge/{service}"
        assert configuration["readOnly"] is True
        assert [volume["hostPath"] for volume in data] == (
            [] if service in {"telegraf", "telegraf-mesh", "page"} else [f"/srv/fjord-edge/{service}"]
        )


def test_an_image_is_pinned_by_digest_and_the_container_takes_what_was_pulled() -> None:
    recording = committed("oslo")
    for container in containers():
        image = recording.named(f"{container.name}-image").inputs
        assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", image["name"])
        assert image["keepLocally"] is True
        assert container.inputs["image"] == "sha256:of-the-pulled-image"


def configs(recording: Recording) -> dict[str, str]:
    """Each container's hash of its configuration."""
    found = {}
    for container in recording.of_type(CONTAINER).values():
        [label] = container.inputs["labels"]
        assert label["label"] == "fjord-edge.config"
        found[container.inputs["name"]] = label["value"]
    return found


def restarted(site: Any) -> set[str]:
    """The containers that an edited section makes anew."""
    before, after = committed("oslo"), deploy("oslo", site)
    for container in before.of_type(CONTAINER).values():
        same = {key: value for key, value in after.named(container.name).inputs.items() if key != "labels"}
        assert same == {key: value for key, value in container.inputs.items() if key != "labels"}
    return {name for name, value in configs(after).items() if value != configs(before)[name]}


def test_a_sensor_in_another_pen_restarts_collector_alarms_uplink_and_page() -> None:
    assert restarted(edited(section("oslo"), "iot", "sensors", 0, "pen", value="pen-2")) == {
        "telegraf",
        "alarms",
        "uplink",
        "page",
    }


def test_a_new_sensor_restarts_broker_and_all_that_knows_the_sensors() -> None:
    site = section("oslo")
    site["iot"]["sensors"].append({"id": "pen3-temp", "pen": "pen-1", "quantities": ["temperature"]})
    assert restarted(site) == {"mosquitto", "telegraf", "alarms", "uplink", "page"}


def test_a_change_of_the_vm_alone_restarts_nothing() -> None:
    assert restarted(edited(section("oslo"), "node", "memoryMib", value=4096)) == set()


def test_new_passwords_restart_their_readers() -> None:
    assert restarted(section("oslo") | {"epochs": {"passwords": 2}}) == {
        "mosquitto",
        "telegraf",
        "telegraf-mesh",
        "alarms",
        "uplink",
        "page",
    }


def test_another_limit_restarts_alarms_and_page_alone() -> None:
    assert restarted(edited(section("oslo"), "iot", "quantities", "oxygen", "low", value=6)) == {"alarms", "page"}


def test_another_group_restarts_the_uplink_alone() -> None:
    assert restarted(edited(section("oslo"), "iot", "uplink", "groups", value=[])) == {"uplink"}


def test_headquarters_next_key_restarts_the_uplink_once_it_is_the_only_one() -> None:
    """While both are there, headquarters lets both in: a site changes when its registry says so."""
    rotating, rotated = entries(), entries()
    rotating["hq"]["nextIdentityKey"] = identity_key(SEED, "hq", 2).public
    rotated["hq"]["identityKey"] = identity_key(SEED, "hq", 2).public
    now = configs(committed("oslo"))
    for registry, expected in ((rotating, set()), (rotated, {"uplink"})):
        after = configs(deploy("oslo", section("oslo"), registry=registry))
        assert {name for name in after if after[name] != now[name]} == expected


def test_the_uplink_waits_for_no_tunnel() -> None:
    dependencies = committed("oslo").named("oslo-uplink").dependencies
    assert f"{COMMAND}::oslo-influxdb-users" in dependencies
    assert not [each for each in dependencies if each.endswith(("-tunnel", "-mesh"))]


def test_a_container_is_made_once_its_image_and_files_have_proved_themselves() -> None:
    for container in containers():
        files = committed("oslo").named(f"{container.name}-files")
        assert files.reference in container.dependencies
        assert committed("oslo").named(f"{container.name}-image").reference in files.dependencies
        assert files.inputs["create"].endswith(f"canary/{container.inputs['name']}.json'")


# What is told


def test_a_site_tells_where_it_is_reached() -> None:
    outputs = committed("oslo").stack_outputs
    assert outputs["site"] == "oslo"
    assert outputs["endpoints"] == {
        "ssh": "edge@10.20.0.12",
        "mqtt": "mqtts://10.20.1.12:8883",
        "influxdb": "http://127.0.0.1:8086 (on the node)",
        "page": "https://10.20.1.12",
    }
    assert outputs["facts"] == FACTS
    assert outputs["mesh"] == {"addresses": ["10.100.0.2/24", "fd5c:9a1e:27d4::2/64"], "peers": ["hq"]}
    assert outputs["certificateAuthority"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert outputs["powerCutSeconds"] == 1.0


def test_headquarters_tells_its_peers() -> None:
    outputs = committed("hq").stack_outputs
    assert outputs["mesh"] == {"addresses": ["10.100.0.1/24", "fd5c:9a1e:27d4::1/64"], "peers": ["oslo"]}
    assert outputs["endpoints"] == {
        "ssh": "edge@10.20.0.11",
        "summaries": "http://10.100.0.1:8086 (in the mesh)",
        "page": "https://10.20.0.11",
    }
    assert set(outputs) == {"site", "endpoints", "hostKey", "facts", "mesh", "nextSteps", "certificateAuthority"}
