/* The chassis' own sections as structs; for service.c only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    SERVICE_NODE_NAME_MAX = 63,
};

struct process_config {
    char *node;
    int64_t drain_timeout_ms;
    char *pid_file;
};

struct log_config {
    int level;
    int format;
    int jids;
    char *path;
};

struct http_config {
    char *address;
    int64_t port;
    char *token_file;
};

/* Node names are keys in Redis and words in logs. */
bool service_is_node_name(const char *name);
