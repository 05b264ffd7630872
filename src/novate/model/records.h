/* Commands and events as they travel: the layouts of novate.model.commands.COMMAND and
   novate.model.events.EVENT in C. */
#ifndef NOVATE_RECORDS_H
#define NOVATE_RECORDS_H

#include <stdint.h>

typedef struct {
    uint8_t kind, side, order_type, time_in_force;
    uint8_t flags, order_id_kind, order_id_length, client_id_length;
    uint32_t instrument, client;
    uint64_t order_number;
    int64_t price_ticks, quantity_lots;
    uint64_t quote_units_low;
    int64_t quote_units_high;
    uint8_t key_digest[16];
    uint64_t command_digest;
    uint16_t text_length, pad16;
    uint32_t pad32;
} Command;

/* What stands between a command's header and its text where its flags have EXTENDED. */
typedef struct {
    int64_t stop_price_ticks, display_lots, minimum_lots, expire_ns;
    uint64_t link_number;
    uint32_t group, session;
    uint8_t sets, self_trade, link_use, link_kind, link_length, phase, kill, pad[9];
} Extension;

static const Extension novate_no_extension = {0};

/* A command's extension; one of zeros where it has none. */
static inline const Extension *novate_extension(const Command *command) {
    return command->flags & 32 ? (const Extension *)(command + 1) : &novate_no_extension;
}

typedef struct {
    uint64_t seq;
    uint8_t kind, side, order_type, time_in_force;
    uint8_t reason, flags;
    uint16_t pad;
    uint32_t instrument, index;
    uint64_t order, taker;
    uint32_t client, taker_client;
    int64_t price_ticks, quantity_lots, remaining_lots;
} Event;

#endif
