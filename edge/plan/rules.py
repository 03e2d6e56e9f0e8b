"""What the providers do when an input changes; the one table of it.

`replace`: the resource is made anew. `update`: it is changed in place, or not at all where the provider ignores it.
Sources: `resource_libvirt_*.go` of dmacvicar/terraform-provider-libvirt 0.8.3, `resource_docker_*.go` of
kreuzwerker/terraform-provider-docker as wrapped by pulumi-docker 5.2.0: a field with `ForceNew` replaces. The command
provider's is `provider/pkg/provider/remote/command.go` of pulumi-command 1.2.1, where `replaceOnChanges` does.
tests/e2e/test_rules.py holds the rows, the command provider's aside, against the schemas that the plugins print;
tests/e2e/test_plan.py holds plans against the engine's previews of the same edits.

A row is about the whole input: where only a part of a block replaces, it says `replace`, the safe side.
"""

from collections.abc import Mapping
from typing import Literal

Effect = Literal["replace", "update"]

DOMAIN = "libvirt:index/domain:Domain"
VOLUME = "libvirt:index/volume:Volume"
POOL = "libvirt:index/pool:Pool"
CLOUD_INIT = "libvirt:index/cloudInitDisk:CloudInitDisk"
CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
COMMAND = "command:remote:Command"
LIBVIRT = "pulumi:providers:libvirt"

EFFECTS: Mapping[str, Mapping[str, Effect]] = {
    # resource_libvirt_domain.go
    DOMAIN: {
        "arch": "update",
        "autostart": "update",
        "cloudinit": "update",
        "consoles": "replace",  # each of a console's fields has ForceNew
        "cpu": "replace",
        "description": "replace",
        "disks": "replace",  # a disk more or less, or `scsi`; another volumeId alone is an update that does nothing
        "emulator": "update",
        "firmware": "replace",
        "machine": "update",
        "memory": "replace",
        "name": "replace",
        "networkInterfaces": "update",
        "qemuAgent": "update",
        "running": "update",
        "type": "replace",
        "vcpu": "replace",
        "video": "update",
        "xml": "replace",  # its only field, xslt, has ForceNew
    },
    # resource_libvirt_volume.go
    VOLUME: {
        "baseVolumeId": "replace",
        "baseVolumeName": "replace",
        "baseVolumePool": "replace",
        "format": "replace",
        "name": "replace",
        "pool": "replace",
        "size": "replace",
        "source": "replace",
        "xml": "replace",
    },
    # resource_libvirt_pool.go
    POOL: {
        "name": "replace",
        "path": "replace",
        "source": "replace",
        "target": "replace",  # its only field, path: resourceLibvirtPoolCustomizeDiff
        "type": "replace",
        "xml": "replace",
    },
    # resource_libvirt_cloud_init.go
    CLOUD_INIT: {
        "metaData": "replace",
        "name": "replace",
        "networkConfig": "replace",
        "pool": "replace",
        "userData": "replace",
    },
    # resource_docker_container.go
    CONTAINER: {
        "capabilities": "replace",
        "cgroupParent": "replace",
        "command": "replace",
        "cpuShares": "update",
        "devices": "replace",
        "dns": "replace",
        "entrypoints": "replace",
        "envs": "replace",
        "groupAdds": "replace",
        "healthcheck": "replace",  # all but `tests`, which alone is an update that does nothing
        "hostname": "replace",
        "hosts": "replace",
        "image": "replace",
        "init": "update",
        "ipcMode": "replace",
        "labels": "replace",
        "logDriver": "replace",
        "logOpts": "replace",
        "memory": "update",
        "memorySwap": "update",
        "mounts": "replace",  # one more or less; another `source` alone is an update that does nothing
        "mustRun": "update",
        "name": "replace",
        "networkMode": "replace",
        "networksAdvanced": "replace",
        "pidMode": "replace",
        "ports": "replace",
        "privileged": "replace",
        "readOnly": "replace",
        "restart": "update",
        "securityOpts": "replace",
        "shmSize": "replace",
        "stopSignal": "replace",
        "stopTimeout": "replace",
        "sysctls": "replace",
        "tmpfs": "update",
        "ulimits": "replace",
        "uploads": "replace",
        "user": "replace",
        "usernsMode": "replace",
        "volumes": "replace",
        "wait": "update",
        "waitTimeout": "update",
        "workingDir": "replace",
    },
    # resource_docker_image.go
    IMAGE: {
        "forceRemove": "update",
        "keepLocally": "update",
        "name": "replace",
        "platform": "replace",
        "pullTriggers": "replace",
        "triggers": "replace",
    },
    # resource_docker_network.go
    NETWORK: {
        "attachable": "replace",
        "driver": "replace",
        "internal": "replace",
        "ipamConfigs": "replace",
        "ipv6": "replace",
        "labels": "replace",
        "name": "replace",
        "options": "replace",
    },
    # command.go
    COMMAND: {
        "addPreviousOutputInEnv": "update",
        "connection": "update",
        "create": "update",
        "delete": "update",
        "environment": "update",
        "logging": "update",
        "stdin": "update",
        "triggers": "replace",
        "update": "update",
    },
}


def effect(type_: str, property_: str) -> Effect:
    """What a changed input does. Connections change in place; what nobody looked up is taken to replace."""
    if type_.startswith("pulumi:providers:"):
        return "update"
    return EFFECTS.get(type_, {}).get(property_, "replace")
