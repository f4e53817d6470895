# What these tests share: members in processes of their own (node), a shim over nothing (shim_below),
# clusters in one thread (world).
add_library(qo_consensus_testing STATIC
    "${CMAKE_CURRENT_LIST_DIR}/node.c" "${CMAKE_CURRENT_LIST_DIR}/shim_below.c"
    "${CMAKE_CURRENT_LIST_DIR}/world.c")
target_include_directories(qo_consensus_testing PRIVATE "${PROJECT_SOURCE_DIR}/src/consensus")
target_link_libraries(qo_consensus_testing PUBLIC
    qo_consensus qo_test_support PkgConfig::RAFT PkgConfig::UV Threads::Threads PRIVATE qo_flags)

foreach(file rules failover shim shim_progress unstored campaign cluster)
    qo_unit_test(consensus/${file} LINKS qo_consensus_testing)
endforeach()

# The log, over a simulated disk and over the real one.
add_library(qo_log_testing STATIC "${CMAKE_CURRENT_LIST_DIR}/log_sim.c")
target_include_directories(qo_log_testing PRIVATE "${PROJECT_SOURCE_DIR}/src/consensus")
target_link_libraries(qo_log_testing PUBLIC qo_consensus qo_test_support PRIVATE qo_flags)

foreach(file log_model log_rules log_disk log_aio log_lane io process)
    qo_unit_test(consensus/${file} LINKS qo_log_testing PkgConfig::RAFT PkgConfig::UV Threads::Threads)
endforeach()

set_source_files_properties(
    "${CMAKE_CURRENT_LIST_DIR}/log_aio_test.c" "${CMAKE_CURRENT_LIST_DIR}/log_lane_test.c" PROPERTIES
    COMPILE_DEFINITIONS _GNU_SOURCE) # O_DIRECT
# Which way an append goes is seen where the linker leads these calls.
target_link_libraries(consensus_log_lane_test PRIVATE ${AIO})
target_link_options(consensus_log_lane_test PRIVATE
    -Wl,--wrap=io_submit,--wrap=pwrite,--wrap=uv_hrtime)

# Read rounds, over nothing.
add_library(qo_rounds_testing INTERFACE)
target_include_directories(qo_rounds_testing INTERFACE "${PROJECT_SOURCE_DIR}/src/consensus")
target_link_libraries(qo_rounds_testing INTERFACE qo_consensus)
qo_unit_test(consensus/rounds LINKS qo_rounds_testing)

# Links, over sockets of this machine.
add_library(qo_links_testing STATIC "${CMAKE_CURRENT_LIST_DIR}/links_world.c")
target_include_directories(qo_links_testing PUBLIC "${PROJECT_SOURCE_DIR}/src/consensus")
target_link_libraries(qo_links_testing PUBLIC
    qo_consensus qo_test_support PkgConfig::RAFT PkgConfig::UV PRIVATE qo_flags)

foreach(file accept links_message links_open links_carry links_paths)
    qo_unit_test(consensus/${file} LINKS qo_links_testing)
endforeach()
