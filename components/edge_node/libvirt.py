"""The only importer of pulumi-libvirt, which is deprecated upstream: replacing it means replacing this module."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_libvirt

from components._options import child_options
from components.edge_node.cloud_init import meta_data, network_config, user_data
from components.edge_node.domain_xml import stylesheet
from components.edge_node.interfaces import mac_address, named
from config.derive import SshHostKey
from config.site import Hypervisor, Node

_GIB = 1 << 30


def hypervisor_provider(site: str, hypervisor: Hypervisor) -> pulumi_libvirt.Provider:
    """The connection to a site's hypervisor: by SSH, its host key pinned, the client's key from agent or ~/.ssh."""
    uri = f"qemu+ssh://{hypervisor.user}@{hypervisor.host}/system?knownhosts={hypervisor.known_hosts}"
    return pulumi_libvirt.Provider(f"{site}-hypervisor", uri=uri)


@dataclass(frozen=True, kw_only=True)
class VirtualMachine:
    """A domain with its disks, as children of `parent`."""

    site: str
    node: Node
    host_key: SshHostKey
    parent: pulumi.Resource

    def create(self) -> pulumi_libvirt.Domain:
        """Declare pool, base image, root and data disk, first-boot ISO and domain."""
        pool = self._pool()
        root = self._root_disk(pool)
        data = self._data_disk(pool)
        return self._domain(root, data, self._first_boot(pool))

    def _pool(self) -> pulumi_libvirt.Pool:
        path = PurePosixPath(self.node.hypervisor.pool) / self.site
        return pulumi_libvirt.Pool(
            f"{self.site}-pool",
            name=f"fjord-edge-{self.site}",
            type="dir",
            target=pulumi_libvirt.PoolTargetArgs(path=str(path)),
            opts=child_options(self.parent, protect=True),
        )

    def _root_disk(self, pool: pulumi_libvirt.Pool) -> pulumi_libvirt.Volume:
        image = self.node.image
        base = pulumi_libvirt.Volume(
            f"{self.site}-image",
            name=f"{self.site}-image-{image.sha256[:12]}.qcow2",
            pool=pool.name,
            source=image.source,
            format="qcow2",
            opts=child_options(self.parent, ignore_changes=["source"]),
        )
        return pulumi_libvirt.Volume(
            f"{self.site}-root",
            name=f"{self.site}-root-{self.node.generation}.qcow2",
            pool=pool.name,
            base_volume_id=base.id,
            size=self.node.root_disk_gib * _GIB,
            format="qcow2",
            opts=child_options(self.parent, delete_before_replace=True),
        )

    def _data_disk(self, pool: pulumi_libvirt.Pool) -> pulumi_libvirt.Volume:
        return pulumi_libvirt.Volume(
            f"{self.site}-data",
            name=f"{self.site}-data.qcow2",
            pool=pool.name,
            size=self.node.data_disk_gib * _GIB,
            format="qcow2",
            opts=child_options(self.parent, protect=True, ignore_changes=["size"]),
        )

    def _first_boot(self, pool: pulumi_libvirt.Pool) -> pulumi_libvirt.CloudInitDisk:
        generation = self.node.generation
        return pulumi_libvirt.CloudInitDisk(
            f"{self.site}-first-boot-{generation}",
            name=f"{self.site}-first-boot-{generation}.iso",
            pool=pool.name,
            user_data=pulumi.Output.secret(user_data(self.site, self.node, self.host_key)),
            network_config=network_config(self.site, self.node.network),
            meta_data=meta_data(self.site, generation),
            opts=child_options(self.parent, ignore_changes=["userData", "networkConfig", "metaData"]),
        )

    def _domain(
        self, root: pulumi_libvirt.Volume, data: pulumi_libvirt.Volume, first_boot: pulumi_libvirt.CloudInitDisk
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
            autostart=True,
            running=True,
            opts=child_options(
                self.parent, delete_before_replace=True, replace_on_changes=["cloudinit", "networkInterfaces"]
            ),
        )
