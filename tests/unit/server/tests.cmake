qo_unit_test(server/msgids)
qo_unit_test(server/leader_clock)
qo_unit_test(server/secret)
qo_unit_test(server/config LINKS PkgConfig::UV qo_consensus qo_store qo_wire)

# Who executes, wakes and waits is seen where the linker leads these calls.
qo_unit_test(server/state LINKS qo_apply qo_store qo_machine PkgConfig::UV Threads::Threads)
target_link_options(server_state_test PRIVATE
    -Wl,--wrap=apply_execute,--wrap=sem_post,--wrap=pthread_cond_wait)
