qo_unit_test(store/record)
qo_unit_test(store/registry LINKS qo_machine Threads::Threads)
qo_unit_test(store/store LINKS qo_machine Threads::Threads)
qo_unit_test(store/sweep LINKS qo_machine PkgConfig::ROCKSDB Threads::Threads)
