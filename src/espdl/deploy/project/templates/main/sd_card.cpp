#include "sd_card.hpp"

#include "driver/sdmmc_host.h"
#include "esp_vfs_fat.h"
#include "sdkconfig.h"
#include "sdmmc_cmd.h"

esp_err_t mount_sd_card()
{
    esp_vfs_fat_sdmmc_mount_config_t mount = {};
    mount.format_if_mount_failed = false; // a card that cannot be read keeps its data
    mount.max_files = 4;

    sdmmc_host_t host = SDMMC_HOST_DEFAULT();
    sdmmc_slot_config_t slot = SDMMC_SLOT_CONFIG_DEFAULT();
    slot.width = 1;
    slot.clk = static_cast<gpio_num_t>(CONFIG_MODEL_SD_CLK);
    slot.cmd = static_cast<gpio_num_t>(CONFIG_MODEL_SD_CMD);
    slot.d0 = static_cast<gpio_num_t>(CONFIG_MODEL_SD_D0);

    sdmmc_card_t *card = nullptr;
    return esp_vfs_fat_sdmmc_mount("/sdcard", &host, &slot, &mount, &card);
}
