/*
 * Runs a fuzzer's function over each file of a directory, where there is no libFuzzer. Fails if the
 * directory holds none: then nothing was tested. Thread: one.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#include "common/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay(const char *directory, const char *name)
{
    char path[4096];
    struct buf input = {0};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    for (size_t got = 1; got > 0;) {
        got = fread(buf_reserve(&input, 65536), 1, 65536, file);
        input.size += got;
    }
    fclose(file);
    printf("%s: %zu bytes\n", name, input.size);
    fflush(stdout); /* So that a crash shows which one it was. */
    (void)LLVMFuzzerTestOneInput(input.data, input.size);
    buf_free(&input);
    return 0;
}

int
main(int argc, char **argv)
{
    int replayed = 0, failed = 0;
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    if (directory == NULL) {
        fprintf(stderr, "usage: %s <directory of inputs>\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] != '.') {
            failed += replay(argv[1], entry->d_name);
            replayed++;
        }
    }
    closedir(directory);
    return failed > 0 || replayed == 0;
}
