/* See common/error.h. Thread: any. */
#include "common/error.h"

#include <stddef.h>

static const struct {
    enum qo_error error;
    const char *code;
    enum error_effect effect;
} errors[] = {
#define X(name, number, code, effect) {name, code, effect},
    QO_ERROR_MAP(X)
#undef X
};

const char *
error_code(enum qo_error error)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (errors[i].error == error) {
            return errors[i].code;
        }
    }
    return "ok";
}

enum error_effect
error_effect(enum qo_error error)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (errors[i].error == error) {
            return errors[i].effect;
        }
    }
    return ERROR_NO_EFFECT;
}

enum qo_error
error_of_number(int64_t number)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if ((int64_t)errors[i].error == number) {
            return errors[i].error;
        }
    }
    return QO_INTERNAL;
}
