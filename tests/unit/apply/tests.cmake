qo_unit_test(apply/entry)
qo_unit_test(apply/cache)
qo_unit_test(apply/apply LINKS qo_store qo_machine)
qo_unit_test(apply/model LINKS qo_store qo_machine)
