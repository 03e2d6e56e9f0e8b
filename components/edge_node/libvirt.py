"""The only importer of pulumi-libvirt, which is deprecated upstream: replacing it means replacing this module."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import pulumi
import pulumi_libvirt

from components._hypervisor import HypervisorHost
from components._options import child_options
from components.edge_node import hypervisor
from components.edge_node.cloud_init import meta_data, network_config, user_data
from components.edge_node.domain_xml import stylesheet
from components.edge_node.interfaces import mac_address, named
from config.derive import SshKey
from config.registry import IPNetwork
from config.site import Hypervisor, Node

#: In a preview's environment: another libvirt's address. The provider dials even to preview, and a site may be cut off.
STAND_IN = "FJORD_EDGE_LIBVIRT"


def hypervisor_provider(site: str, asked: Hypervisor) -> pulumi_libvirt.Provider:
    """The connection to a site's hypervisor: by SSH, its host key pinned, the client's key from agent or file.

    In a preview the `STAND_IN` is dialled, if there is one; in an update never.
    """
    words = {"knownhosts": asked.known_hosts}
    if asked.key_file:
        words |= {"sshauth": "privkey", "keyfile": asked.key_file}
    uri = f"qemu+ssh://{asked.user}@{asked.host}/system?{urlencode(words, safe='/')}"
    stand_in = os.environ.get(STAND_IN) if pulumi.runtime.is_dry_run() else None
    return pulumi_libvirt.Provider(f"{site}-hypervisor", uri=stand_in or uri)


@dataclass(frozen=True, kw_only=True)
class VirtualMachine:
    """A domain with its disks, as children of `parent`."""

    site: str
    node: Node
    host: HypervisorHost
    mesh: Sequence[IPNetwork]
    host_key: SshKey
    parent: pulumi.Resource

    def create(self) -> pulumi_libvirt.Domain:
        """Declare pool, base image, root and data disk, first-boot ISO and domain.

        The hypervisor is looked at before all of them, the image before a root disk is made of it, and the old guest is
        shut down in order before its domain goes.
        """
        preflight = self.host.run(
            f"{self.site}-preflight", hypervisor.preflight(self.site, self.node, self.mesh), parent=self.parent
        )
        pool = self._pool(preflight)
        root = self._root_disk(pool)
        data = self._data_disk(pool)
        first_boot = self._first_boot(pool)
        before_start = self.host.run(
            f"{self.site}-before-start",
            hypervisor.before_start(self.site, self.node),
            parent=self.parent,
            depends_on=[root, data, first_boot],
        )
        return self._domain(root, data, first_boot, before_start)

    def settle(self, domain: pulumi.Resource, booted: pulumi.Resource) -> pulumi.Resource:
        """Once the node is up: its first-boot disk goes, its data disk grows, and it is kept running."""
        return self.host.run(
            f"{self.site}-after-start",
            hypervisor.after_start(self.site, self.node),
            parent=self.parent,
            depends_on=[booted],
            replace_with=[domain],
        )

    def _pool(self, preflight: pulumi.Resource) -> pulumi_libvirt.Pool:
        return pulumi_libvirt.Pool(
            f"{self.site}-pool",
            name=hypervisor.pool_name(self.site),
            type="dir",
            target=pulumi_libvirt.PoolTargetArgs(path=hypervisor.pool_path(self.site, self.node)),
            opts=child_options(self.parent, depends_on=[preflight], protect=True),
        )

    def _root_disk(self, pool: pulumi_libvirt.Pool) -> pulumi_libvirt.Volume:
        base = pulumi_libvirt.Volume(
            f"{self.site}-image",
            name=hypervisor.image_name(self.site, self.node),
            pool=pool.name,
            source=self.node.image.source,
            format="qcow2",
            opts=child_options(self.parent, ignore_changes=["source"]),
        )
        checked = self.host.command(
            f"{self.site}-image-checksum",
            hypervisor.check_image(self.site, self.node),
            parent=self.parent,
            depends_on=[base],
        )
        return pulumi_libvirt.Volume(
            f"{self.site}-root",
            name=hypervisor.root_name(self.site, self.node),
            pool=pool.name,
            base_volume_id=base.id,
            size=self.node.root_disk_gib * hypervisor.GIB,
            format="qcow2",
            opts=child_options(self.parent, depends_on=[checked]),
        )

    def _data_disk(self, pool: pulumi_libvirt.Pool) -> pulumi_libvirt.Volume:
        return pulumi_libvirt.Volume(
            f"{self.site}-data",
            name=hypervisor.data_name(self.site),
            pool=pool.name,
            size=self.node.data_disk_gib * hypervisor.GIB,
            format="qcow2",
            opts=child_options(self.parent, protect=True, ignore_changes=["size"]),
        )

    def _first_boot(self, pool: pulumi_libvirt.Pool) -> pulumi_libvirt.CloudInitDisk:
        generation = self.node.generation
        return pulumi_libvirt.CloudInitDisk(
            f"{self.site}-first-boot-{generation}",
            name=hypervisor.first_boot_name(self.site, self.node),
            pool=pool.name,
            user_data=pulumi.Output.secret(user_data(self.site, self.node, self.host_key)),
            network_config=network_config(self.site, self.node.network),
            meta_data=meta_data(self.site, generation),
            opts=child_options(self.parent, ignore_changes=["userData", "networkConfig", "metaData"]),
        )

    def _domain(
        self,
        root: pulumi_libvirt.Volume,
        data: pulumi_libvirt.Volume,
        first_boot: pulumi_libvirt.CloudInitDisk,
        before_start: pulumi.Resource,
    ) -> pulumi_libvirt.Domain:
        kvm = self.node.hypervisor.accelerator == "kvm"
        return pulumi_libvirt.Domain(
            self.site,
            name=self.site,
            type=self.node.hypervisor.accelerator,
            cpu=pulumi_libvirt.DomainCpuArgs(mode="host-passthrough") if kvm else None,
            vcpu=self.node.cpus,
            memory=self.node.memory_mib,
            cloudinit=first_boot.id,
            disks=[
                pulumi_libvirt.DomainDiskArgs(volume_id=root.id),
                pulumi_libvirt.DomainDiskArgs(volume_id=data.id),
            ],
            network_interfaces=[
                pulumi_libvirt.DomainNetworkInterfaceArgs(
                    bridge=interface.bridge,
                    network_name=interface.libvirt_network,
                    mac=mac_address(self.site, name, interface).upper(),
                )
                for name, interface in named(self.node.network).items()
            ],
            consoles=[pulumi_libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")],
            xml=pulumi_libvirt.DomainXmlArgs(xslt=stylesheet()),
            qemu_agent=True,
            autostart=True,
            running=True,
            opts=child_options(
                self.parent,
                depends_on=[before_start],
                delete_before_replace=True,
                replace_on_changes=["cloudinit", "networkInterfaces", "qemuAgent"],
            ),
        )
