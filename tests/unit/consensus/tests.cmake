qo_unit_test(consensus/cluster LINKS PkgConfig::RAFT PkgConfig::UV Threads::Threads)
