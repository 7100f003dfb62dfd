/* Reads the YAML file and the environment into the structs of the sections. All problems are
 * reported, not only the first. */
#include "chassis/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "chassis/base/mem.h"
#include "chassis/config_value.h"

/* All sections of the product. One file serves all programs: what another program reads is passed
 * over here, what nobody reads is a mistake. */
static const char *const product_sections[] = {
    "process",
    "log",
    "http",
    "bus",
    "redis",
    "postgres_router",
    "postgres_archive",
    "postgres_admin",
    "cluster",
    "hosts",
    "edge",
    "listeners",
    "certificates",
    "c2s",
    "tls",
    "sasl",
    "router",
    "messages",
    "register",
    "limits",
    "archive",
    "upload",
    "push",
    "starlingctl",
    "version",
    "sm",
    "blocking",
    "private_xml",
    "vcard",
    "admin",
    "accounts",
    "contact_addresses",
    "external_services",
    "time",
    "disco",
    "ping",
};

struct loaded_section {
    const struct config_section *section;
    char *items; /* count structs of section->size bytes */
    size_t count;
};

struct config {
    struct loaded_section *sections;
    size_t count;
};

struct loader {
    struct config *config;
    const char *path; /* NULL: no file */
    char *dir;
    yaml_document_t document;
    struct buf *why;
    size_t problems;
};

/* One mapping that becomes one struct. */
struct mapping {
    const struct config_section *section;
    yaml_node_t *node; /* NULL: not in the file */
    char label[64];    /* "edge" or "hosts[1]" */
    bool has_environment;
};

/* ---- problems */

PRINTF_LIKE(3, 4)
static void add_problem(struct loader *loader, const yaml_node_t *node, const char *format, ...)
{
    va_list args;
    loader->problems++;
    const char *path = loader->path != NULL ? loader->path : "configuration";
    if (node != NULL) {
        buf_printf(loader->why, "%s:%zu: ", path, node->start_mark.line + 1);
    } else {
        buf_printf(loader->why, "%s: ", path);
    }
    va_start(args, format);
    buf_vprintf(loader->why, format, args);
    va_end(args);
    buf_append_char(loader->why, '\n');
}

static void add_value_problem(struct loader *loader,
        const yaml_node_t *node,
        const struct mapping *mapping,
        const char *field_name,
        const struct buf *sentence)
{
    add_problem(loader,
            node,
            "%s.%s: " STR_FMT,
            mapping->label,
            field_name,
            STR_ARG(buf_view(sentence)));
}

/* ---- YAML nodes */

static struct str scalar_text(const yaml_node_t *node)
{
    return str_from(node->data.scalar.value, node->data.scalar.length);
}

static bool is_scalar(const yaml_node_t *node, struct str text)
{
    return node->type == YAML_SCALAR_NODE && str_equal(scalar_text(node), text);
}

/* "key:" with nothing behind it. */
static bool is_nothing(const yaml_node_t *node)
{
    return is_scalar(node, STR_NULL) && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static yaml_node_t *find_value(struct loader *loader, const yaml_node_t *mapping, const char *name)
{
    if (mapping == NULL || mapping->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
            pair < mapping->data.mapping.pairs.top;
            pair++) {
        const yaml_node_t *key = yaml_document_get_node(&loader->document, pair->key);
        if (is_scalar(key, str_from_cstr(name))) {
            return yaml_document_get_node(&loader->document, pair->value);
        }
    }
    return NULL;
}

/* Calls for each key that is known; reports the others and duplicates. `label` is "" at the top. */
static void check_keys(struct loader *loader,
        const yaml_node_t *mapping,
        const char *label,
        bool (*is_known)(const void *context, struct str key),
        const void *context)
{
    const char *dot = label[0] != '\0' ? "." : "";
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
            pair < mapping->data.mapping.pairs.top;
            pair++) {
        const yaml_node_t *key = yaml_document_get_node(&loader->document, pair->key);
        if (key->type != YAML_SCALAR_NODE) {
            add_problem(loader, key, "%s%sa name is expected here", label, dot);
            continue;
        }
        struct str name = scalar_text(key);
        if (!is_known(context, name)) {
            const char *what = label[0] != '\0' ? "unknown option" : "unknown section";
            add_problem(loader, key, "%s%s" STR_FMT ": %s", label, dot, STR_ARG(name), what);
        }
        for (const yaml_node_pair_t *earlier = mapping->data.mapping.pairs.start; earlier < pair;
                earlier++) {
            if (is_scalar(yaml_document_get_node(&loader->document, earlier->key), name)) {
                add_problem(loader,
                        key,
                        "%s%s" STR_FMT ": stands here a second time",
                        label,
                        dot,
                        STR_ARG(name));
                break;
            }
        }
    }
}

static bool is_known_field(const void *context, struct str key)
{
    const struct config_field *field = context;
    for (; field->name != NULL; field++) {
        if (str_equal(key, str_from_cstr(field->name))) {
            return true;
        }
    }
    return false;
}

static bool is_known_section(const void *context, struct str key)
{
    const struct config *config = context;
    for (size_t i = 0; i < config->count; i++) {
        if (str_equal(key, str_from_cstr(config->sections[i].section->name))) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(product_sections) / sizeof(product_sections[0]); i++) {
        if (str_equal(key, str_from_cstr(product_sections[i]))) {
            return true;
        }
    }
    return false;
}

/* ---- fields */

static const char *environment_value(const char *section, const char *field, char name_out[128])
{
    int len = snprintf(name_out, 128, "STARLING_%s_%s", section, field);
    ASSERT(len > 0 && len < 128);
    for (char *c = name_out; *c != '\0'; c++) {
        *c = *c == '-' || *c == '.' ? '_' : (char)toupper((unsigned char)*c);
    }
    return getenv(name_out);
}

static void read_sequence(struct loader *loader,
        const struct mapping *mapping,
        const struct config_field *field,
        const yaml_node_t *node,
        void *target)
{
    struct buf sentence;
    buf_init(&sentence, 0);
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
            item < node->data.sequence.items.top;
            item++) {
        const yaml_node_t *value = yaml_document_get_node(&loader->document, *item);
        buf_clear(&sentence);
        if (value->type != YAML_SCALAR_NODE) {
            buf_append_literal(&sentence, "must be a list of strings");
        } else if (config_value_append(field, scalar_text(value), target, &sentence) == ERR_OK) {
            continue;
        }
        add_value_problem(loader, value, mapping, field->name, &sentence);
    }
    buf_fini(&sentence);
}

static void read_node(struct loader *loader,
        const struct mapping *mapping,
        const struct config_field *field,
        const yaml_node_t *node,
        void *target)
{
    bool is_list = field->type == CONFIG_LIST;
    if (is_list && node->type == YAML_SEQUENCE_NODE) {
        read_sequence(loader, mapping, field, node, target);
        return;
    }
    struct buf sentence;
    buf_init(&sentence, 0);
    enum err err = ERR_INVALID;
    if (node->type != YAML_SCALAR_NODE || (is_list && !is_nothing(node))) {
        buf_append_literal(&sentence, "must be ");
        config_value_describe(field, &sentence);
    } else {
        err = config_value_parse(field, scalar_text(node), loader->dir, target, &sentence);
    }
    if (err != ERR_OK) {
        add_value_problem(loader, node, mapping, field->name, &sentence);
    }
    buf_fini(&sentence);
}

static void read_text(struct loader *loader,
        const struct mapping *mapping,
        const struct config_field *field,
        const char *text,
        const char *source,
        void *target)
{
    struct buf sentence;
    buf_init(&sentence, 0);
    enum err err = config_value_parse(field, str_from_cstr(text), loader->dir, target, &sentence);
    if (err != ERR_OK) {
        loader->problems++;
        buf_printf(loader->why,
                "%s: %s.%s: " STR_FMT "\n",
                source,
                mapping->label,
                field->name,
                STR_ARG(buf_view(&sentence)));
    }
    buf_fini(&sentence);
}

/* The environment wins over the file, the file over the default. */
static void read_field(struct loader *loader,
        const struct mapping *mapping,
        const struct config_field *field,
        void *target)
{
    char name[128];
    const char *text = mapping->has_environment
            ? environment_value(mapping->section->name, field->name, name)
            : NULL;
    const yaml_node_t *node = find_value(loader, mapping->node, field->name);
    if (text != NULL) {
        read_text(loader, mapping, field, text, name, target);
    } else if (node != NULL) {
        read_node(loader, mapping, field, node, target);
    } else if (field->default_text != NULL) {
        read_text(loader, mapping, field, field->default_text, "default", target);
    } else {
        add_problem(loader, mapping->node, "%s.%s: is required", mapping->label, field->name);
    }
}

static void check_struct(struct loader *loader, const struct mapping *mapping, const void *target)
{
    struct buf sentence;
    buf_init(&sentence, 0);
    if (mapping->section->check(target, &sentence) != ERR_OK) {
        add_problem(loader,
                mapping->node,
                "%s: " STR_FMT,
                mapping->label,
                STR_ARG(buf_view(&sentence)));
    }
    buf_fini(&sentence);
}

static void read_struct(struct loader *loader, struct mapping *mapping, void *target)
{
    size_t problems = loader->problems;
    yaml_node_t *node = mapping->node;
    if (node != NULL && node->type == YAML_MAPPING_NODE) {
        check_keys(loader, node, mapping->label, is_known_field, mapping->section->fields);
    } else if (node != NULL && !is_nothing(node)) {
        add_problem(loader, node, "%s: must be a mapping of options", mapping->label);
    }
    for (const struct config_field *f = mapping->section->fields; f->name != NULL; f++) {
        read_field(loader, mapping, f, target);
    }
    if (mapping->section->check != NULL && loader->problems == problems) {
        check_struct(loader, mapping, target);
    }
}

/* ---- sections */

static void read_list_section(
        struct loader *loader, struct loaded_section *loaded, const yaml_node_t *node)
{
    const struct config_section *section = loaded->section;
    if (node == NULL || is_nothing(node)) {
        return;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        add_problem(loader, node, "%s: must be a list", section->name);
        return;
    }
    const yaml_node_item_t *items = node->data.sequence.items.start;
    loaded->count = (size_t)(node->data.sequence.items.top - items);
    loaded->items = mem_calloc(loaded->count, section->size);
    for (size_t i = 0; i < loaded->count; i++) {
        struct mapping mapping = {
            .section = section,
            .node = yaml_document_get_node(&loader->document, items[i]),
        };
        snprintf(mapping.label, sizeof(mapping.label), "%s[%zu]", section->name, i);
        read_struct(loader, &mapping, loaded->items + i * section->size);
    }
}

static void read_section(struct loader *loader, struct loaded_section *loaded, yaml_node_t *node)
{
    if (loaded->section->is_list) {
        read_list_section(loader, loaded, node);
        return;
    }
    struct mapping mapping = {
        .section = loaded->section,
        .node = node,
        .has_environment = true,
    };
    snprintf(mapping.label, sizeof(mapping.label), "%s", loaded->section->name);
    loaded->count = 1;
    loaded->items = mem_calloc(1, loaded->section->size);
    read_struct(loader, &mapping, loaded->items);
}

static void read_sections(struct loader *loader, yaml_node_t *root)
{
    if (root != NULL && is_nothing(root)) {
        root = NULL;
    }
    if (root != NULL && root->type != YAML_MAPPING_NODE) {
        add_problem(loader, root, "the file must be a mapping of sections");
        return;
    }
    if (root != NULL) {
        check_keys(loader, root, "", is_known_section, loader->config);
    }
    for (size_t i = 0; i < loader->config->count; i++) {
        struct loaded_section *loaded = &loader->config->sections[i];
        read_section(loader, loaded, find_value(loader, root, loaded->section->name));
    }
}

static void read_file(struct loader *loader, FILE *file)
{
    yaml_parser_t parser;
    ASSERT(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, file);
    if (yaml_parser_load(&parser, &loader->document) == 1) {
        read_sections(loader, yaml_document_get_root_node(&loader->document));
        yaml_document_delete(&loader->document);
    } else {
        loader->problems++;
        buf_printf(loader->why,
                "%s:%zu: not valid YAML: %s\n",
                loader->path,
                parser.problem_mark.line + 1,
                parser.problem != NULL ? parser.problem : "unknown problem");
    }
    yaml_parser_delete(&parser);
}

/* ---- loading */

static struct config *config_create(const struct config_section *const *sections)
{
    struct config *config = MEM_NEW(struct config);
    while (sections[config->count] != NULL) {
        config->count++;
    }
    config->sections = mem_calloc(config->count, sizeof(*config->sections));
    for (size_t i = 0; i < config->count; i++) {
        config->sections[i].section = sections[i];
        for (size_t j = 0; j < i; j++) {
            ASSERT(strcmp(sections[i]->name, sections[j]->name) != 0);
        }
    }
    return config;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return str_to_cstr(STR("."));
    }
    return str_to_cstr(slash == path ? STR("/") : str_from(path, (size_t)(slash - path)));
}

struct config *config_load(
        const char *path, const struct config_section *const *sections, struct buf *why_out)
{
    struct loader loader = { .config = config_create(sections), .path = path, .why = why_out };
    if (path == NULL) {
        read_sections(&loader, NULL);
    } else {
        FILE *file = fopen(path, "re");
        if (file == NULL) {
            loader.problems++;
            buf_printf(why_out, "%s: cannot be opened: %s\n", path, strerror(errno));
        } else {
            loader.dir = folder_of(path);
            read_file(&loader, file);
            fclose(file);
        }
    }
    free(loader.dir);
    if (loader.problems > 0) {
        config_destroy(loader.config);
        return NULL;
    }
    return loader.config;
}

void config_destroy(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->count; i++) {
        struct loaded_section *loaded = &config->sections[i];
        for (size_t item = 0; item < loaded->count; item++) {
            for (const struct config_field *f = loaded->section->fields; f->name != NULL; f++) {
                config_value_free(f, loaded->items + item * loaded->section->size);
            }
        }
        free(loaded->items);
    }
    free(config->sections);
    free(config);
}

const void *config_get_list(
        const struct config *config, const struct config_section *section, size_t *count_out)
{
    for (size_t i = 0; i < config->count; i++) {
        if (config->sections[i].section == section) {
            *count_out = config->sections[i].count;
            return config->sections[i].items;
        }
    }
    UNREACHABLE("the section is one of this program's");
}

const void *config_get(const struct config *config, const struct config_section *section)
{
    size_t count = 0;
    return config_get_list(config, section, &count);
}

bool config_differs(
        const struct config *a, const struct config *b, const struct config_section *section)
{
    size_t count_a = 0;
    size_t count_b = 0;
    const char *items_a = config_get_list(a, section, &count_a);
    const char *items_b = config_get_list(b, section, &count_b);
    if (count_a != count_b) {
        return true;
    }
    for (size_t at = 0; at < count_a * section->size; at += section->size) {
        for (const struct config_field *f = section->fields; f->name != NULL; f++) {
            if (!config_value_equal(f, items_a + at, items_b + at)) {
                return true;
            }
        }
    }
    return false;
}
