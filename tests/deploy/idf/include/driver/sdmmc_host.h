#pragma once
enum gpio_num_t : int { GPIO_NUM_NC = -1 };
struct sdmmc_host_t { int slot; };
struct sdmmc_slot_config_t { gpio_num_t clk, cmd, d0; unsigned char width; };
#define SDMMC_HOST_DEFAULT() sdmmc_host_t{}
#define SDMMC_SLOT_CONFIG_DEFAULT() sdmmc_slot_config_t{}
