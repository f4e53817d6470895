qo_unit_test(machine/decide)
qo_unit_test(machine/refuse)
qo_unit_test(machine/walk)
