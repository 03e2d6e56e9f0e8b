"""What libvirt's domain XML must say beyond the provider's own fields, as an XSLT stylesheet."""

#: The data disk's serial number; the node finds it as /dev/disk/by-id/virtio-<serial>.
DATA_DISK_SERIAL = "fjord-data"

#: Root disk vda, data disk vdb: the order in which the provider is given them.
_DATA_DISK_TARGET = "vdb"


def stylesheet() -> str:
    """Render the XSLT.

    Disks and interfaces have a queue for each virtual CPU; under KVM the host's kernel serves the interfaces' queues.
    Disks bypass the host's page cache, use io_uring on an I/O thread of their own and pass discards down; the data disk
    carries its serial. Graphics go, since nobody looks, and the memory balloon, since a node's memory is its own.
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
    <driver name="qemu" type="{{@type}}" cache="none" io="io_uring" discard="unmap" iothread="1"
            queues="{{/domain/vcpu}}"/>
  </xsl:template>
  <xsl:template match="/domain/devices/interface">
    <xsl:copy>
      <xsl:apply-templates select="node()|@*"/>
      <driver queues="{{/domain/vcpu}}">
        <xsl:attribute name="name">
          <xsl:choose>
            <xsl:when test="/domain/@type='kvm'">vhost</xsl:when>
            <xsl:otherwise>qemu</xsl:otherwise>
          </xsl:choose>
        </xsl:attribute>
      </driver>
    </xsl:copy>
  </xsl:template>
  <xsl:template match="/domain/devices/disk[target/@dev='{_DATA_DISK_TARGET}']">
    <xsl:copy>
      <xsl:apply-templates select="node()|@*"/>
      <serial>{DATA_DISK_SERIAL}</serial>
    </xsl:copy>
  </xsl:template>
</xsl:stylesheet>
"""
