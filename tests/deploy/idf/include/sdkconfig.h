#pragma once
#define CONFIG_MODEL_SD_CLK 14
#define CONFIG_MODEL_SD_CMD 15
#define CONFIG_MODEL_SD_D0 2
