qo_unit_test(wire/codec LINKS m PkgConfig::MSGPACK)
qo_unit_test(wire/content LINKS m PkgConfig::MSGPACK)
qo_unit_test(wire/cut LINKS m PkgConfig::MSGPACK)
qo_unit_test(wire/request LINKS m)
