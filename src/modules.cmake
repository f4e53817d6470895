# The walls between the modules: a module sees only the public headers of the modules that it names,
# and may name only modules that were added before it (src/CMakeLists.txt adds them bottom up).
#
# qo_module(<name> SOURCES ... HEADERS ... [USES_IN_HEADERS ...] [USES ...] [LINKS ...])
#   USES_IN_HEADERS  modules whose types stand in this module's own headers
#   USES             modules that only its sources use
#   LINKS            libraries from Debian
function(qo_module name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;USES_IN_HEADERS;USES;LINKS")
    foreach(used IN LISTS arg_USES_IN_HEADERS arg_USES)
        if(NOT TARGET qo_${used})
            message(FATAL_ERROR "module '${name}' may not use '${used}': it is not below it")
        endif()
    endforeach()
    list(TRANSFORM arg_USES_IN_HEADERS PREPEND qo_)
    list(TRANSFORM arg_USES PREPEND qo_)
    add_library(qo_${name} STATIC ${arg_SOURCES})
    target_sources(qo_${name} PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${arg_HEADERS})
    target_link_libraries(qo_${name}
        PUBLIC ${arg_USES_IN_HEADERS} PRIVATE ${arg_USES} ${arg_LINKS} qo_flags)
endfunction()
