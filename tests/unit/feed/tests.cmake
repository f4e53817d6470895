qo_unit_test(feed/feed LINKS qo_store qo_machine)
qo_unit_test(feed/history LINKS qo_store qo_machine)
