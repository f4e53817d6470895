qo_unit_test(server/msgids)
qo_unit_test(server/leader_clock)
qo_unit_test(server/secret)
qo_unit_test(server/config LINKS PkgConfig::UV qo_consensus qo_store qo_wire)
