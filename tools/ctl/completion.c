/* The command completion: scripts for shells, made from the table of commands. Thread: main. */
#include <stdio.h>
#include <string.h>

#include "ctl.h"

/* Each noun once, in the order of the table. */
static void
print_nouns(void)
{
    const char *last = "";
    for (uint32_t i = 0; i < commands_count; i++) {
        if (strcmp(commands[i].noun, last) != 0) {
            printf("%s%s", i == 0 ? "" : " ", commands[i].noun);
            last = commands[i].noun;
        }
    }
}

static void
print_verbs(const char *noun)
{
    bool first = true;
    for (uint32_t i = 0; i < commands_count; i++) {
        if (strcmp(commands[i].noun, noun) == 0 && commands[i].verb[0] != '\0') {
            printf("%s%s", first ? "" : " ", commands[i].verb);
            first = false;
        }
    }
}

static void
print_options(const struct command *command)
{
    bool first = true;
    for (uint32_t i = 0; i < ctl_options_count; i++) {
        int key = ctl_options[i].key;
        if (key < KEY_OWN || (command != NULL && (command->options & OWN(key)) != 0)) {
            printf("%s--%s", first ? "" : " ", ctl_options[i].name);
            first = false;
        }
    }
}

/* The letters and names after which a value stands: what follows them is no noun and no verb. */
static void
print_valued(void)
{
    bool first = true;
    for (uint32_t i = 0; i < ctl_options_count; i++) {
        if (ctl_options[i].argument == NULL) {
            continue;
        }
        printf("%s--%s", first ? "" : "|", ctl_options[i].name);
        if (ctl_options[i].letter != 0) {
            printf("|-%c", ctl_options[i].letter);
        }
        first = false;
    }
}

/* The body that both shells share: from the words before the cursor to `reply`, the words that may
 * stand there. Values of options and arguments complete as files. */
static void
print_body(const char *words, const char *count, int first)
{
    printf("    local i noun='' verb='' previous='' reply=''\n"
           "    for ((i = %d; i < %s; i++)); do\n"
           "        case \"$previous\" in\n            ",
           first, count);
    print_valued();
    printf(") previous=''; continue ;;\n        esac\n"
           "        previous=\"${%s[i]}\"\n"
           "        case \"$previous\" in\n"
           "            -*) ;;\n"
           "            *) if [[ -z $noun ]]; then noun=$previous\n"
           "               elif [[ -z $verb ]]; then verb=$previous; fi ;;\n"
           "        esac\n"
           "    done\n"
           "    case \"$previous\" in\n"
           "        -o|--output) reply='table json jsonl' ;;\n"
           "        --consistency) reply='linearizable local' ;;\n"
           "        -f|--format) reply='dot mermaid' ;;\n        ",
           words);
    print_valued();
    printf(") reply='' ;;\n"
           "        *) case \"$noun $verb\" in\n"
           "            ' ') reply='");
    print_nouns();
    printf(" --help --version' ;;\n");
    const char *last = "";
    for (uint32_t i = 0; i < commands_count; i++) {
        const struct command *command = &commands[i];
        if (strcmp(command->noun, last) != 0 && command->verb[0] != '\0') {
            printf("            '%s ') reply='", command->noun);
            print_verbs(command->noun);
            printf("' ;;\n");
        }
        last = command->noun;
        printf("            '%s %s'%s) reply='", command->noun, command->verb,
               command->verb[0] == '\0' ? "*" : "");
        print_options(command);
        printf("%s' ;;\n", strcmp(command->noun, "completion") == 0 ? " bash zsh" : "");
    }
    printf("        esac ;;\n    esac\n");
}

static void
print_bash(void)
{
    printf("# bash completion of quorderctl; load it with: source <(quorderctl completion bash)\n"
           "_quorderctl() {\n");
    print_body("COMP_WORDS", "COMP_CWORD", 1);
    printf("    mapfile -t COMPREPLY < <(compgen -W \"$reply\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
           "}\n"
           "complete -o default -o bashdefault -F _quorderctl quorderctl\n");
}

static void
print_zsh(void)
{
    printf("#compdef quorderctl\n"
           "# zsh completion of quorderctl; save it as _quorderctl in a directory of $fpath\n"
           "_quorderctl() {\n");
    print_body("words", "CURRENT", 2); /* zsh counts from 1, the program's name included. */
    printf("    if [[ -n $reply ]]; then compadd -- ${=reply}; fi\n"
           "    [[ -n $verb ]] && _files\n"
           "}\n"
           "if [[ ${funcstack[1]} == _quorderctl ]]; then _quorderctl \"$@\"; else compdef "
           "_quorderctl quorderctl; fi\n");
}

int
run_completion(struct ctl *ctl)
{
    if (strcmp(ctl->arguments[0], "bash") == 0) {
        print_bash();
    } else if (strcmp(ctl->arguments[0], "zsh") == 0) {
        print_zsh();
    } else {
        fprintf(stderr, "quorderctl: there is completion for bash and zsh, not for '%s'.\n",
                ctl->arguments[0]);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}
