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
    <driver name="qemu" type="{@type}" cache="none" io="io_uring" discard="unmap" iothread="1"
            queues="{/domain/vcpu}"/>
  </xsl:template>
  <xsl:template match="/domain/devices/interface">
    <xsl:copy>
      <xsl:apply-templates select="node()|@*"/>
      <driver queues="{/domain/vcpu}">
        <xsl:attribute name="name">
          <xsl:choose>
            <xsl:when test="/domain/@type='kvm'">vhost</xsl:when>
            <xsl:otherwise>qemu</xsl:otherwise>
          </xsl:choose>
        </xsl:attribute>
      </driver>
    </xsl:copy>
  </xsl:template>
  <xsl:template match="/domain/devices/disk[target/@dev='vdb']">
    <xsl:copy>
      <xsl:apply-templates select="node()|@*"/>
      <serial>fjord-data</serial>
    </xsl:copy>
  </xsl:template>
</xsl:stylesheet>
