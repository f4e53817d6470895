qo_unit_test(machine/refuse)
