# What these tests share (node, world) lies beside them and is included by the one that uses it.
foreach(file rules shim disk campaign cluster)
    qo_unit_test(consensus/${file} LINKS PkgConfig::RAFT PkgConfig::UV Threads::Threads)
endforeach()
