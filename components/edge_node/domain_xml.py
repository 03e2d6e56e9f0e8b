"""What libvirt's domain XML must say beyond the provider's own fields, as an XSLT stylesheet, and the derived MAC."""

import hashlib

from config.site import Network

#: The data disk's serial number; the node finds it as /dev/disk/by-id/virtio-<serial>.
DATA_DISK_SERIAL = "fjord-data"

#: Root disk vda, data disk vdb: the order in which the provider is given them.
_DATA_DISK_TARGET = "vdb"


def mac_address(site: str, network: Network) -> str:
    """The configured MAC, or one made of the site's name under QEMU's prefix 52:54:00."""
    if network.mac:
        return network.mac
    tail = hashlib.sha256(f"fjord-edge/{site}/eth0".encode()).digest()[:3]
    return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *tail))


def stylesheet() -> str:
    """Render the XSLT.

    Disks bypass the host's page cache, use io_uring on an I/O thread of their own and pass discards down; the data
    disk carries its serial. Graphics go, since nobody looks, and the memory balloon, since a node's memory is its own.
    """
    return f"""\
<?xml version="1.0"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output omit-xml-declaration="yes" indent="yes"/>
  <xsl:template match="node()|@*">
    <xsl:copy><xsl:apply-templates select="node()|@*"/></xsl:copy>
  </xsl:template>
  <xsl:template match="/domain">
    <xsl:copy>
      <xsl:apply-templates select="@*"/>
      <iothreads>1</iothreads>
      <xsl:apply-templates select="node()"/>
    </xsl:copy>
  </xsl:template>
  <xsl:template match="/domain/devices">
    <xsl:copy>
      <xsl:apply-templates select="node()|@*"/>
      <memballoon model="none"/>
    </xsl:copy>
  </xsl:template>
  <xsl:template match="/domain/devices/graphics|/domain/devices/memballoon"/>
  <xsl:template match="/domain/devices/disk[@device='disk']/driver">
    <driver name="qemu" type="{{@type}}" cache="none" io="io_uring" discard="unmap" iothread="1"/>
  </xsl:template>
  <xsl:template match="/domain/devices/disk[target/@dev='{_DATA_DISK_TARGET}']">
    <xsl:copy>
      <xsl:apply-templates select="node()|@*"/>
      <serial>{DATA_DISK_SERIAL}</serial>
    </xsl:copy>
  </xsl:template>
</xsl:stylesheet>
"""
