qo_unit_test(tools/histogram LINKS qo_bench)
qo_unit_test(tools/options)
qo_unit_test(tools/op LINKS qo_bench qo_machine)
