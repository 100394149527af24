#pragma once

#include "esp_err.h"

/// Mounts the SD card at /sdcard; the pins are set in menuconfig ("SD card of the model").
esp_err_t mount_sd_card();
