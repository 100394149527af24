#pragma once
#include <cstddef>
#include "driver/sdmmc_host.h"
#include "esp_err.h"
#include "sdmmc_cmd.h"
struct esp_vfs_fat_sdmmc_mount_config_t { bool format_if_mount_failed; int max_files; size_t allocation_unit_size; };
esp_err_t esp_vfs_fat_sdmmc_mount(const char *, const sdmmc_host_t *, const void *, const esp_vfs_fat_sdmmc_mount_config_t *, sdmmc_card_t **);
