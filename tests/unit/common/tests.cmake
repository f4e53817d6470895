qo_unit_test(common/ring LINKS Threads::Threads)
