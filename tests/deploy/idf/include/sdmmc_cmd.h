#pragma once
struct sdmmc_card_t;
