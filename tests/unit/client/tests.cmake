add_library(qo_client_peer STATIC unit/client/peer.c)
target_include_directories(qo_client_peer PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/unit/client")
target_link_libraries(qo_client_peer PUBLIC qo_test_support qo_client PRIVATE qo_flags)

foreach(test attributes call feed judge node result)
    qo_unit_test(client/${test} LINKS qo_client_peer Threads::Threads)
endforeach()

# The installed library, used as a stranger would.
add_test(NAME client/installed
    COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/unit/client/installed.sh"
        "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}" "${CMAKE_C_COMPILER}" "${CMAKE_C_FLAGS}")
set_tests_properties(client/installed PROPERTIES LABELS unit TIMEOUT 1800)
