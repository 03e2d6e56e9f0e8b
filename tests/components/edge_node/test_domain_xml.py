"""The stylesheet, applied as the provider applies it: by xsltproc, to the XML that the provider makes."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from components.edge_node.domain_xml import stylesheet
from tests.judges import judge

#: What terraform-provider-libvirt 0.8.3 makes of the program's domain (newDomainDef, setDisks, newDiskForCloudInit).
FROM_THE_PROVIDER = """\
<domain type="kvm">
  <name>oslo</name>
  <memory unit="MiB">2560</memory>
  <vcpu placement="static">2</vcpu>
  <os>
    <type arch="x86_64" machine="pc-i440fx-7.2">hvm</type>
  </os>
  <features>
    <pae></pae>
    <acpi></acpi>
    <apic></apic>
  </features>
  <cpu mode="host-passthrough"></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type="volume" device="disk">
      <driver name="qemu" type="qcow2"></driver>
      <source pool="fjord-edge-oslo" volume="oslo-root-1.qcow2"></source>
      <target dev="vda" bus="virtio"></target>
    </disk>
    <disk type="volume" device="disk">
      <driver name="qemu" type="qcow2"></driver>
      <source pool="fjord-edge-oslo" volume="oslo-data.qcow2"></source>
      <target dev="vdb" bus="virtio"></target>
    </disk>
    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw"></driver>
      <source file="/srv/nvme/fjord-edge/oslo/oslo-first-boot-1.iso"></source>
      <target dev="hdd" bus="ide"></target>
      <serial>cloudinit</serial>
    </disk>
    <interface type="bridge">
      <mac address="52:54:00:53:F2:FE"></mac>
      <source bridge="br0"></source>
      <model type="virtio"></model>
    </interface>
    <console type="pty">
      <target type="serial" port="0"></target>
    </console>
    <channel>
      <target type="virtio" name="org.qemu.guest_agent.0"></target>
    </channel>
    <graphics type="spice" autoport="yes"></graphics>
    <rng model="virtio">
      <backend model="random">/dev/urandom</backend>
    </rng>
  </devices>
</domain>
"""

FAST = {"name": "qemu", "type": "qcow2", "cache": "none", "io": "io_uring", "discard": "unmap", "iothread": "1"}
FAST |= {"queues": "2"}


def transformed(folder: Path, xml: str = FROM_THE_PROVIDER) -> ET.Element:
    (folder / "domain.xsl").write_text(stylesheet())
    (folder / "domain.xml").write_text(xml)
    return ET.fromstring(judge("xsltproc", "--nonet", folder / "domain.xsl", folder / "domain.xml"))  # noqa: S314


def disk(domain: ET.Element, target: str) -> ET.Element:
    [found] = [disk for disk in domain.findall("devices/disk") if one(disk, "target").get("dev") == target]
    return found


def one(element: ET.Element, path: str) -> ET.Element:
    [found] = element.findall(path)
    return found


def canonical(element: ET.Element) -> str:
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), strip_text=True)


@pytest.mark.parametrize("target", ["vda", "vdb"])
def test_a_disk_bypasses_the_hosts_cache_on_an_io_thread_and_passes_discards(tmp_path: Path, target: str) -> None:
    assert one(disk(transformed(tmp_path), target), "driver").attrib == FAST


@pytest.mark.parametrize(("accelerator", "name"), [("kvm", "vhost"), ("qemu", "qemu")])
def test_an_interface_has_a_queue_for_each_cpu(tmp_path: Path, accelerator: str, name: str) -> None:
    xml = FROM_THE_PROVIDER.replace('<domain type="kvm">', f'<domain type="{accelerator}">').replace(">2<", ">4<")
    assert one(transformed(tmp_path, xml), "devices/interface/driver").attrib == {"name": name, "queues": "4"}


def test_a_disks_format_stays(tmp_path: Path) -> None:
    raw = FROM_THE_PROVIDER.replace('type="qcow2"', 'type="raw"')
    assert one(disk(transformed(tmp_path, raw), "vda"), "driver").attrib == FAST | {"type": "raw"}


def test_the_domain_has_the_io_thread_that_its_disks_use(tmp_path: Path) -> None:
    assert one(transformed(tmp_path), "iothreads").text == "1"


def test_the_data_disk_alone_carries_the_serial_by_which_it_is_found(tmp_path: Path) -> None:
    domain = transformed(tmp_path)
    assert one(disk(domain, "vdb"), "serial").text == "fjord-data"
    assert disk(domain, "vda").find("serial") is None


def test_the_first_boot_cd_stays_as_it_is(tmp_path: Path) -> None:
    before = disk(ET.fromstring(FROM_THE_PROVIDER), "hdd")  # noqa: S314
    assert canonical(disk(transformed(tmp_path), "hdd")) == canonical(before)


def test_graphics_and_balloon_go(tmp_path: Path) -> None:
    devices = one(transformed(tmp_path), "devices")
    assert devices.find("graphics") is None
    assert one(devices, "memballoon").attrib == {"model": "none"}


def test_all_else_stays(tmp_path: Path) -> None:
    """What is undone here by hand is everything that the stylesheet does."""
    domain = transformed(tmp_path)
    devices = one(domain, "devices")
    domain.remove(one(domain, "iothreads"))
    devices.remove(one(devices, "memballoon"))
    one(devices, "interface").remove(one(devices, "interface/driver"))
    disk(domain, "vdb").remove(one(disk(domain, "vdb"), "serial"))
    for target in ("vda", "vdb"):
        driver = one(disk(domain, target), "driver")
        driver.attrib = {"name": "qemu", "type": "qcow2"}
    before = ET.fromstring(FROM_THE_PROVIDER)  # noqa: S314
    one(before, "devices").remove(one(before, "devices/graphics"))
    assert canonical(domain) == canonical(before)
